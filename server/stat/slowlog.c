/*
 * slowlog.c - a list of entries, newest first; the oldest leave when it is full. Ids go on after a reset.
 */
#include "server/stat/slowlog.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"

struct node_of_list {
    struct slowlog_entry entry;
    struct node_of_list *newer, *older;
};

struct slowlog {
    pthread_mutex_t lock; /* guards everything */
    struct node_of_list *newest, *oldest;
    size_t count, most;
    uint64_t next_id;
};

struct slowlog *slowlog_new(size_t entries_max)
{
    struct slowlog *s = calloc(1, sizeof *s);

    check(s != NULL);
    pthread_mutex_init(&s->lock, NULL);
    s->most = entries_max;
    return s;
}

static void entry_free(struct node_of_list *n)
{
    for (size_t i = 0; i < n->entry.count; i++)
        free(n->entry.words[i]);
    free(n->entry.words);
    free(n->entry.sizes);
    free(n->entry.address);
    free(n->entry.name);
    free(n);
}

/* Under the lock. */
static void shrink(struct slowlog *s, size_t most)
{
    while (s->count > most) {
        struct node_of_list *n = s->oldest;

        s->oldest = n->newer;
        *(s->oldest != NULL ? &s->oldest->older : &s->newest) = NULL;
        s->count--;
        entry_free(n);
    }
}

void slowlog_free(struct slowlog *s)
{
    if (s == NULL)
        return;
    shrink(s, 0);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

void slowlog_resize(struct slowlog *s, size_t entries_max)
{
    pthread_mutex_lock(&s->lock);
    s->most = entries_max;
    shrink(s, entries_max);
    pthread_mutex_unlock(&s->lock);
}

static char *copy(const void *data, size_t size, const char *tail)
{
    size_t more = strlen(tail);
    char *out = malloc(size + more + 1);

    check(out != NULL);
    if (size > 0)
        memcpy(out, data, size);
    memcpy(out + size, tail, more + 1);
    return out;
}

static void word_put(struct slowlog_entry *e, size_t i, struct slice word)
{
    char tail[64] = "";
    size_t size = word.size;

    if (size > SLOWLOG_WORD_BYTES_MAX) {
        size = SLOWLOG_WORD_BYTES_MAX;
        snprintf(tail, sizeof tail, "... (%zu more bytes)", word.size - size);
    }
    e->words[i] = copy(word.data, size, tail);
    e->sizes[i] = size + strlen(tail);
}

static void words_put(struct slowlog_entry *e, const struct slice *words, size_t count)
{
    size_t kept = count < SLOWLOG_WORDS_MAX ? count : SLOWLOG_WORDS_MAX, whole = kept < count ? kept - 1 : kept;

    e->count = kept;
    e->words = calloc(kept + 1, sizeof *e->words);
    e->sizes = calloc(kept + 1, sizeof *e->sizes);
    check(e->words != NULL && e->sizes != NULL);
    for (size_t i = 0; i < whole; i++)
        word_put(e, i, words[i]);
    if (whole < kept) {
        char text[64];

        snprintf(text, sizeof text, "... (%zu more arguments)", count - whole);
        word_put(e, whole, slice_str(text));
    }
}

void slowlog_add(struct slowlog *s, int64_t time_s, uint64_t duration_us, const struct slice *words, size_t count,
                 const char *address, struct slice name)
{
    struct node_of_list *n = calloc(1, sizeof *n);

    check(n != NULL);
    n->entry = (struct slowlog_entry){.time_s = time_s, .duration_us = duration_us};
    words_put(&n->entry, words, count);
    n->entry.address = copy(address, strlen(address), "");
    n->entry.name = copy(name.data, name.size, "");
    pthread_mutex_lock(&s->lock);
    n->entry.id = s->next_id++;
    n->older = s->newest;
    *(s->newest != NULL ? &s->newest->newer : &s->oldest) = n;
    s->newest = n;
    s->count++;
    shrink(s, s->most);
    pthread_mutex_unlock(&s->lock);
}

size_t slowlog_count(struct slowlog *s)
{
    size_t count;

    pthread_mutex_lock(&s->lock);
    count = s->count;
    pthread_mutex_unlock(&s->lock);
    return count;
}

void slowlog_reset(struct slowlog *s)
{
    pthread_mutex_lock(&s->lock);
    shrink(s, 0);
    pthread_mutex_unlock(&s->lock);
}

void slowlog_list(struct slowlog *s, size_t most, slowlog_each *each, void *context)
{
    pthread_mutex_lock(&s->lock);
    for (const struct node_of_list *n = s->newest; n != NULL && most-- > 0; n = n->older)
        each(context, &n->entry);
    pthread_mutex_unlock(&s->lock);
}
