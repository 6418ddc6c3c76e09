/*
 * options.c - the directives that the start needs, from a file and from the command line, which wins.
 */
#include "server/options.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/log.h"
#include "base/num.h"

enum { LINE_WORDS_MAX = 32, LINE_BYTES_MAX = 4096 };

void options_default(struct options *o)
{
    *o = (struct options){.config_file = "", .dir = ".", .port = 6379, .backlog = 511, .unix_path = "", .databases = 16,
                          .pool_threads = 32, .log_bytes_max = 64 << 20, .fsync = WAL_FSYNC_EVERYSEC,
                          .limits = client_limits_default(), .pid_file = "", .log_file = "",
                          .cluster_config_file = "nodes.conf"};
    cluster_config_default(&o->cluster_config);
}

static bool number(const char *text, int64_t least, int64_t most, int64_t *out)
{
    return num_parse_i64(slice_str(text), out) && *out >= least && *out <= most;
}

static bool bytes(const char *text, uint64_t *out)
{
    static const struct {
        const char *unit;
        uint64_t factor;
    } units[] = {{"", 1}, {"b", 1}, {"k", 1000}, {"kb", 1024}, {"m", 1000000}, {"mb", 1 << 20},
                 {"g", 1000000000}, {"gb", 1 << 30}};
    char *end = NULL;
    uint64_t value = strtoull(text, &end, 10);

    for (size_t i = 0; i < sizeof units / sizeof units[0] && end != text; i++)
        if (strcasecmp(end, units[i].unit) == 0) {
            *out = value * units[i].factor;
            return true;
        }
    return false;
}

static bool yes_no(const char *text, bool *out)
{
    *out = strcasecmp(text, "yes") == 0;
    return *out || strcasecmp(text, "no") == 0;
}

static bool fsync_policy(const char *text, enum wal_fsync *out)
{
    static const char *const names[] = {"always", "everysec", "no"};

    for (size_t i = 0; i < 3; i++)
        if (strcasecmp(text, names[i]) == 0) {
            *out = (enum wal_fsync)i;
            return true;
        }
    return false;
}

static bool is_name(const char *name, const char *wanted)
{
    return strcasecmp(name, wanted) == 0;
}

/* True if name is a directive with a number or a text; *valid says whether the value fits. */
static bool set_plain(struct options *o, const char *name, const char *value, bool *valid)
{
    int64_t n = 0;
    bool on = false;

    if (is_name(name, "port")) {
        *valid = number(value, 0, 65535, &n);
        o->port = (int)n;
    } else if (is_name(name, "databases")) {
        *valid = number(value, 1, 16384, &n);
        o->databases = (unsigned)n;
    } else if (is_name(name, "tcp-backlog")) {
        *valid = number(value, 1, 65535, &n);
        o->backlog = (int)n;
    } else if (is_name(name, "io-threads")) {
        *valid = number(value, 1, 256, &n);
        o->workers = (size_t)n;
    } else if (is_name(name, "maxclients")) {
        *valid = number(value, 1, UINT32_MAX, &n);
        o->limits.maxclients = (uint64_t)n;
    } else if (is_name(name, "timeout")) {
        *valid = number(value, 0, INT32_MAX, &o->limits.timeout_s);
    } else if (is_name(name, "tcp-keepalive")) {
        *valid = number(value, 0, INT32_MAX, &o->limits.keepalive_s);
    } else if (is_name(name, "maxmemory")) {
        *valid = bytes(value, &o->maxmemory);
    } else if (is_name(name, "dir")) {
        o->dir = value;
    } else if (is_name(name, "unixsocket")) {
        o->unix_path = value;
    } else if (is_name(name, "pidfile")) {
        o->pid_file = value;
    } else if (is_name(name, "logfile")) {
        o->log_file = value;
    } else if (is_name(name, "daemonize")) {
        *valid = yes_no(value, &o->daemonize);
    } else if (is_name(name, "protected-mode")) {
        *valid = yes_no(value, &o->limits.protected_mode);
    } else if (is_name(name, "appendfsync")) {
        *valid = fsync_policy(value, &o->fsync);
    } else if (is_name(name, "appendonly")) {
        *valid = yes_no(value, &on);
    } else if (is_name(name, "cluster-enabled")) {
        *valid = yes_no(value, &o->cluster);
    } else if (is_name(name, "cluster-config-file")) {
        o->cluster_config_file = value;
    } else if (is_name(name, "cluster-node-timeout")) {
        *valid = number(value, 1, INT32_MAX, &o->cluster_config.node_timeout_ms);
    } else {
        return false;
    }
    return true;
}

static enum err set(struct options *o, size_t count, char **words)
{
    bool valid = true;

    if (is_name(words[0], "bind")) {
        o->bind_count = 0;
        for (size_t i = 1; i < count && o->bind_count < OPTIONS_BIND_MAX; i++)
            o->bind[o->bind_count++] = words[i];
        return OK;
    }
    if (count != 2)
        return err_set(ERR_INVALID, "wrong number of values for '%s'", words[0]);
    if (!set_plain(o, words[0], words[1], &valid))
        return err_set(ERR_INVALID, "unknown directive '%s'", words[0]);
    return valid ? OK : err_set(ERR_INVALID, "bad value '%s' for '%s'", words[1], words[0]);
}

static enum err parse_file(struct options *o, const char *path)
{
    FILE *file = fopen(path, "re");
    char line[LINE_BYTES_MAX];
    enum err e = OK;

    if (file == NULL)
        return err_set(ERR_INVALID, "cannot open %s", path);
    for (unsigned number_of = 1; e == OK && fgets(line, sizeof line, file) != NULL; number_of++) {
        char *words[LINE_WORDS_MAX], *rest = NULL, *copy = strdup(line); /* kept: options borrow from it */
        size_t count = 0;

        check(copy != NULL);
        for (char *word = strtok_r(copy, " \t\r\n", &rest); word != NULL && count < LINE_WORDS_MAX;
             word = strtok_r(NULL, " \t\r\n", &rest)) {
            size_t size = strlen(word);

            if (size >= 2 && word[0] == '"' && word[size - 1] == '"') {
                word[size - 1] = '\0';
                word++;
            }
            words[count++] = word;
        }
        if (count == 0 || words[0][0] == '#')
            free(copy);
        else if ((e = set(o, count, words)) != OK)
            (void)err_context(e, "%s:%u", path, number_of);
    }
    fclose(file);
    o->config_file = path;
    return e;
}

enum err options_parse(struct options *o, int argc, char **argv)
{
    int i = 1;

    if (i < argc && strncmp(argv[i], "--", 2) != 0)
        TRY(parse_file(o, argv[i++]));
    while (i < argc) {
        size_t count = 1;

        if (strncmp(argv[i], "--", 2) != 0)
            return err_set(ERR_INVALID, "a directive begins with --: '%s'", argv[i]);
        argv[i] += 2;
        while (i + (int)count < argc && strncmp(argv[i + (int)count], "--", 2) != 0)
            count++;
        TRY(set(o, count, &argv[i]));
        i += (int)count;
    }
    o->cluster_config.port = (uint16_t)o->port;
    o->cluster_config.tls_port = (uint16_t)o->tls_port;
    return OK;
}
