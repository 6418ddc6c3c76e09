/*
 * toml.c - the second dialect: tables, strings, whole numbers, booleans, arrays of those, comments. It maps onto the
 * same option table. What TOML has beyond that (dates, floats, inline tables, multi-line strings) is an error with its
 * line.
 */
#include "server/conf/config_priv.h"

#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"

enum { WORDS_MAX = 64, WORD_BYTES_MAX = 1024 };

/* table.key -> option. Keys of [server] and of no table that are not listed are options by their own name. */
static const struct {
    const char *table, *key, *option;
} names[] = {
    {"cluster", "enabled", "cluster-enabled"},
    {"cluster", "config_file", "cluster-config-file"},
    {"cluster", "node_timeout", "cluster-node-timeout"},
    {"cluster", "announce_ip", "cluster-announce-ip"},
    {"cluster", "announce_port", "cluster-announce-port"},
    {"cluster", "announce_bus_port", "cluster-announce-bus-port"},
    {"cluster", "announce_tls_port", "cluster-announce-tls-port"},
    {"cluster", "announce_hostname", "cluster-announce-hostname"},
    {"cluster", "replica_validity_factor", "cluster-replica-validity-factor"},
    {"cluster", "migration_barrier", "cluster-migration-barrier"},
    {"cluster", "require_full_coverage", "cluster-require-full-coverage"},
    {"cluster", "allow_reads_when_down", "cluster-allow-reads-when-down"},
    {"tls", "port", "tls-port"},
    {"tls", "cert_file", "tls-cert-file"},
    {"tls", "key_file", "tls-key-file"},
    {"tls", "ca_file", "tls-ca-cert-file"},
    {"tls", "require_client_cert", "tls-auth-clients"},
    {"metrics", "enabled", "metrics-enabled"},
    {"metrics", "bind", "metrics-bind"},
    {"metrics", "port", "metrics-port"},
};

struct toml {
    struct config *config;
    const char *p, *end;
    char table[64];
    char *words[WORDS_MAX];
    size_t count;
    int64_t bus_port_offset; /* 0: not given */
    char node_addr[WORD_BYTES_MAX];
    bool tls_enabled_given, tls_enabled;
};

static void blanks(struct toml *t)
{
    while (t->p < t->end && (*t->p == ' ' || *t->p == '\t'))
        t->p++;
}

/* Blank, and line ends and comments too: inside arrays. */
static void space(struct toml *t)
{
    while (t->p < t->end && (isspace((unsigned char)*t->p) || *t->p == '#')) {
        if (*t->p == '#')
            while (t->p < t->end && *t->p != '\n')
                t->p++;
        else
            t->p++;
    }
}

static enum err add(struct toml *t, const char *text, size_t size)
{
    if (t->count == WORDS_MAX)
        return err_set(ERR_INVALID, "array of more than %d values", (int)WORDS_MAX);
    t->words[t->count] = strndup(text, size);
    check(t->words[t->count++] != NULL);
    return OK;
}

static enum err string(struct toml *t)
{
    char quote = *t->p++, text[WORD_BYTES_MAX];
    size_t n = 0;

    for (; t->p < t->end && *t->p != quote && *t->p != '\n'; t->p++) {
        char c = *t->p;

        if (n == sizeof text)
            return err_set(ERR_INVALID, "string of more than %d bytes", (int)WORD_BYTES_MAX);
        if (c == '\\' && quote == '"') {
            static const char from[] = "ntr\"\\", to[] = "\n\t\r\"\\";
            const char *known;

            if (++t->p == t->end || (known = strchr(from, *t->p)) == NULL || *known == '\0')
                return err_set(ERR_INVALID, "unknown escape in a string");
            c = to[known - from];
        }
        text[n++] = c;
    }
    if (t->p == t->end || *t->p != quote)
        return err_set(ERR_INVALID, "string without its closing quote");
    t->p++;
    return add(t, text, n);
}

static enum err scalar(struct toml *t)
{
    const char *start = t->p;
    size_t size;

    if (t->p < t->end && (*t->p == '"' || *t->p == '\''))
        return string(t);
    while (t->p < t->end &&
           (isalnum((unsigned char)*t->p) || *t->p == '_' || *t->p == '-' || *t->p == '+' || *t->p == '.'))
        t->p++;
    size = (size_t)(t->p - start);
    if (size == 4 && memcmp(start, "true", 4) == 0)
        return add(t, "yes", 3);
    if (size == 5 && memcmp(start, "false", 5) == 0)
        return add(t, "no", 2);
    if (size == 0 || size > 24 || memchr(start, '.', size) != NULL)
        return err_set(ERR_INVALID, "a value must be a string, a whole number, true, false or an array of those");
    {
        char digits[32];
        size_t n = 0;

        for (size_t i = 0; i < size; i++) {
            if (!isdigit((unsigned char)start[i]) && !(i == 0 && (start[i] == '-' || start[i] == '+')) &&
                start[i] != '_')
                return err_set(ERR_INVALID,
                               "a value must be a string, a whole number, true, false or an array of those");
            if (start[i] != '_' && start[i] != '+')
                digits[n++] = start[i];
        }
        return add(t, digits, n);
    }
}

static enum err value(struct toml *t)
{
    blanks(t);
    if (t->p == t->end || *t->p != '[')
        return scalar(t);
    t->p++;
    for (;;) {
        space(t);
        if (t->p < t->end && *t->p == ']') {
            t->p++;
            return OK;
        }
        TRY(scalar(t));
        space(t);
        if (t->p < t->end && *t->p == ',')
            t->p++;
        else if (t->p == t->end || *t->p != ']')
            return err_set(ERR_INVALID, "array without its closing bracket");
    }
}

static enum err key(struct toml *t, char out[64])
{
    size_t n = 0;

    while (t->p < t->end && (isalnum((unsigned char)*t->p) || *t->p == '_' || *t->p == '-')) {
        if (n == 63)
            return err_set(ERR_INVALID, "key too long");
        out[n++] = *t->p++;
    }
    out[n] = '\0';
    return n > 0 ? OK : err_set(ERR_INVALID, "expected a key");
}

static enum err assign(struct toml *t, const char *name)
{
    char option[64];

    if (strcmp(t->table, "cluster") == 0 && strcmp(name, "bus_port_offset") == 0 && t->count == 1) {
        t->bus_port_offset = strtoll(t->words[0], NULL, 10);
        return OK;
    }
    if (strcmp(t->table, "cluster") == 0 && strcmp(name, "node_addr") == 0 && t->count == 1) {
        snprintf(t->node_addr, sizeof t->node_addr, "%s", t->words[0]);
        return OK;
    }
    if (strcmp(t->table, "tls") == 0 && strcmp(name, "enabled") == 0 && t->count == 1) {
        t->tls_enabled_given = true;
        t->tls_enabled = strcmp(t->words[0], "yes") == 0;
        return OK;
    }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i].table, t->table) == 0 && strcmp(names[i].key, name) == 0)
            return config_apply(t->config, slice_str(names[i].option), t->words, t->count);
    snprintf(option, sizeof option, "%s", name);
    for (char *p = option; *p != '\0'; p++)
        if (*p == '_')
            *p = '-';
    if ((t->table[0] != '\0' && strcmp(t->table, "server") != 0) || option_find(slice_str(option)) == SIZE_MAX)
        return err_set(ERR_INVALID, "unknown key '%s' in [%s]", name, t->table);
    return config_apply(t->config, slice_str(option), t->words, t->count);
}

/* One table header or assignment; the line must end behind it. */
static enum err statement(struct toml *t)
{
    char name[64];
    enum err e;

    if (*t->p == '[') {
        t->p++;
        TRY(key(t, t->table));
        if (t->p == t->end || *t->p++ != ']')
            return err_set(ERR_INVALID, "table name without its closing bracket");
    } else {
        TRY(key(t, name));
        blanks(t);
        if (t->p == t->end || *t->p++ != '=')
            return err_set(ERR_INVALID, "expected '=' behind '%s'", name);
        e = value(t);
        if (e == OK)
            e = assign(t, name);
        for (size_t i = 0; i < t->count; i++)
            free(t->words[i]);
        t->count = 0;
        TRY(e);
    }
    blanks(t);
    if (t->p < t->end && *t->p != '\n' && *t->p != '\r' && *t->p != '#')
        return err_set(ERR_INVALID, "something stands behind the value");
    return OK;
}

static enum err set_text(struct config *c, const char *option, const char *text)
{
    char *words[1] = {(char *)text};

    return config_apply(c, slice_str(option), words, 1);
}

/* What depends on several keys. */
static enum err finish(struct toml *t)
{
    char text[32];

    if (t->bus_port_offset != 0) {
        snprintf(text, sizeof text, "%lld", (long long)(config_int(t->config, "port") + t->bus_port_offset));
        TRY(set_text(t->config, "cluster-port", text));
    }
    if (t->node_addr[0] != '\0') {
        char *colon = strrchr(t->node_addr, ':');

        if (colon != NULL && strchr(t->node_addr, ':') == colon) { /* "ip:port" */
            *colon = '\0';
            TRY(set_text(t->config, "cluster-announce-port", colon + 1));
        }
        TRY(set_text(t->config, "cluster-announce-ip", t->node_addr));
    }
    if (t->tls_enabled_given && !t->tls_enabled)
        TRY(set_text(t->config, "tls-port", "0"));
    return OK;
}

static enum err fatal(const char *name, struct slice text, const char *line)
{
    const char *end = (const char *)text.data + text.size, *p = line;
    char where[PATH_MAX];
    size_t number = 1;

    for (const char *q = (const char *)text.data; q < line; q++)
        number += *q == '\n';
    while (p < end && *p != '\n' && *p != '\r')
        p++;
    snprintf(where, sizeof where, "the configuration file %s, at line %zu", name, number);
    return config_fatal(where, slice_of(line, (size_t)(p - line)));
}

enum err config_read_toml(struct config *c, const char *name, struct slice text)
{
    struct toml t = {.config = c, .p = (const char *)text.data, .end = (const char *)text.data + text.size};
    enum err e = OK;
    const char *line = t.p;

    while (e == OK) {
        space(&t);
        if (t.p == t.end)
            break;
        line = t.p;
        e = statement(&t);
    }
    if (e == OK)
        e = finish(&t);
    return e == ERR_INVALID ? fatal(name, text, line) : e;
}
