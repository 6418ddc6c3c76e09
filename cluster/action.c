/*
 * action.c - the list of actions of one step.
 *
 * (1) No SEND stands behind a durable change without a synced PERSIST between them, be the change of this step or (a claim
 *     by a lazy SETSLOT) of an earlier one.
 * (2) What an action borrows stays where it is until the next step.
 */
#include "cluster/action.h"

#include "cluster/nodes_conf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { BLOCK_SIZE = 32 * 1024, ALIGNMENT = 16 };

void action_reset(struct cluster *c)
{
    /* One block of the ordinary size is kept: most steps need no other. */
    while (c->arena != NULL && (c->arena->next != NULL || c->arena->size > BLOCK_SIZE)) {
        struct arena_block *block = c->arena;

        c->arena = block->next;
        free(block);
    }
    if (c->arena != NULL)
        c->arena->used = 0;
    c->action_count = 0;
    c->reply = (struct cluster_reply){0};
}

void action_free(struct cluster *c)
{
    while (c->arena != NULL) {
        struct arena_block *block = c->arena;

        c->arena = block->next;
        free(block);
    }
    free(c->actions);
    c->actions = NULL;
}

void *action_take(struct cluster *c, size_t size)
{
    struct arena_block *block = c->arena;
    void *p;

    size = (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    if (block == NULL || block->size - block->used < size) {
        size_t room = size > BLOCK_SIZE ? size : BLOCK_SIZE;

        block = malloc(sizeof *block + room);
        check(block != NULL);
        *block = (struct arena_block){.next = c->arena, .size = room};
        c->arena = block;
    }
    p = block->bytes + block->used;
    block->used += size;
    return p;
}

struct slice action_copy(struct cluster *c, struct slice bytes)
{
    uint8_t *p;

    if (bytes.size == 0)
        return (struct slice){0};
    p = action_take(c, bytes.size);
    memcpy(p, bytes.data, bytes.size);
    return slice_of(p, bytes.size);
}

static const char *text_va(struct cluster *c, const char *format, va_list args)
{
    char text[1024];
    int size = vsnprintf(text, sizeof text, format, args);
    size_t kept = size < 0 ? 0 : (size_t)size < sizeof text ? (size_t)size : sizeof text - 1;
    char *p = action_take(c, kept + 1);

    memcpy(p, text, kept);
    p[kept] = '\0';
    return p;
}

const char *action_text(struct cluster *c, const char *format, ...)
{
    va_list args;
    const char *text;

    va_start(args, format);
    text = text_va(c, format, args);
    va_end(args);
    return text;
}

struct cluster_action *action_add(struct cluster *c, enum cluster_action_type type)
{
    struct cluster_action *a;

    if (c->action_count == c->action_capacity) {
        c->action_capacity = c->action_capacity == 0 ? 16 : c->action_capacity * 2;
        c->actions = realloc(c->actions, c->action_capacity * sizeof *c->actions);
        check(c->actions != NULL);
    }
    a = &c->actions[c->action_count++];
    *a = (struct cluster_action){.type = type};
    return a;
}

void action_connect(struct cluster *c, link_t link, const char *ip, uint16_t port)
{
    const char *text = action_text(c, "%s", ip);
    struct cluster_action *a = action_add(c, CLUSTER_CONNECT);

    a->link = link;
    a->text = text;
    a->port = port;
}

void action_close(struct cluster *c, link_t link)
{
    action_add(c, CLUSTER_CLOSE)->link = link;
}

void action_send(struct cluster *c, link_t link, struct slice bytes)
{
    struct cluster_action *a;

    c->persist_sync |= c->persist_owed;
    action_persist(c, false);
    a = action_add(c, CLUSTER_SEND);
    a->link = link;
    a->bytes = bytes;
}

void action_persist(struct cluster *c, bool lazy)
{
    struct buf text = {0};
    struct cluster_action *a;

    if (!c->persist_sync && !(lazy && c->persist_lazy))
        return;
    nodes_conf_print(c, &text);
    a = action_add(c, CLUSTER_PERSIST);
    a->sync = c->persist_sync;
    a->bytes = action_copy(c, buf_slice(&text));
    buf_free(&text);
    c->persist_owed &= !c->persist_sync;
    c->persist_sync = c->persist_lazy = false;
}

void action_log(struct cluster *c, enum log_level level, const char *format, ...)
{
    va_list args;
    const char *text;
    struct cluster_action *a;

    va_start(args, format);
    text = text_va(c, format, args);
    va_end(args);
    a = action_add(c, CLUSTER_LOG);
    a->level = level;
    a->text = text;
}
