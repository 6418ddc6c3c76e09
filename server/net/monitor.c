/*
 * monitor.c - MONITOR's lines.
 */
#include "server/net/monitor.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/check.h"
#include "server/net/net_priv.h"

void monitor_add(struct clients *c, struct client *client)
{
    size_t count;

    pthread_mutex_lock(&c->lock);
    count = atomic_load(&c->monitor_count);
    for (size_t i = 0; i < count; i++)
        if (c->monitors[i] == client) {
            pthread_mutex_unlock(&c->lock);
            return;
        }
    if (count == c->monitor_capacity) {
        c->monitor_capacity = count < 4 ? 4 : 2 * count;
        c->monitors = realloc(c->monitors, c->monitor_capacity * sizeof *c->monitors);
        check(c->monitors != NULL);
    }
    c->monitors[count] = client_ref(client);
    atomic_store(&c->monitor_count, count + 1);
    pthread_mutex_unlock(&c->lock);
    client_set_flag(client, CLIENT_FLAG_MONITOR, true);
}

static bool forget(struct clients *c, struct client *client)
{
    bool found = false;

    pthread_mutex_lock(&c->lock);
    for (size_t i = 0; i < atomic_load(&c->monitor_count) && !found; i++)
        if (c->monitors[i] == client) {
            size_t last = atomic_load(&c->monitor_count) - 1;

            c->monitors[i] = c->monitors[last];
            atomic_store(&c->monitor_count, last);
            found = true;
        }
    pthread_mutex_unlock(&c->lock);
    return found;
}

void monitor_remove(struct clients *c, struct client *client)
{
    if (!forget(c, client))
        return;
    client_set_flag(client, CLIENT_FLAG_MONITOR, false);
    client_unref(client);
}

bool monitor_active(const struct clients *c)
{
    return atomic_load_explicit(&c->monitor_count, memory_order_relaxed) != 0;
}

/* A word between double quotes, with escapes for what is not printable. */
static void quote(struct buf *out, struct slice word)
{
    buf_append_byte(out, '"');
    for (size_t i = 0; i < word.size; i++) {
        uint8_t byte = word.data[i];

        switch (byte) {
        case '\\': case '"':
            buf_append_byte(out, '\\');
            buf_append_byte(out, byte);
            break;
        case '\n': buf_append_str(out, "\\n"); break;
        case '\r': buf_append_str(out, "\\r"); break;
        case '\t': buf_append_str(out, "\\t"); break;
        case '\a': buf_append_str(out, "\\a"); break;
        case '\b': buf_append_str(out, "\\b"); break;
        default:
            if (byte >= ' ' && byte <= '~')
                buf_append_byte(out, byte);
            else
                buf_append_format(out, "\\x%02x", byte);
        }
    }
    buf_append_byte(out, '"');
}

void monitor_feed(struct clients *c, const struct client *source, unsigned db, const struct slice *argv, size_t argc)
{
    struct buf line = {0};
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    buf_append_format(&line, "+%lld.%06ld [%u %s]", (long long)now.tv_sec, now.tv_nsec / 1000, db,
                      source != NULL ? source->address : "lua");
    for (size_t i = 0; i < argc; i++) {
        buf_append_byte(&line, ' ');
        quote(&line, argv[i]);
    }
    buf_append_str(&line, "\r\n");
    pthread_mutex_lock(&c->lock);
    for (size_t i = 0; i < atomic_load(&c->monitor_count); i++)
        client_push(c->monitors[i], buf_slice(&line));
    pthread_mutex_unlock(&c->lock);
    buf_free(&line);
}
