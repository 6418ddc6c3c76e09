/*
 * inherit.c - the master's open slots, kept by its replica until it leads.
 */
#include "cluster/inherit.h"

#include "cluster/action.h"
#include "cluster/node.h"
#include "cluster/ranges.h"
#include "cluster/slots.h"

enum { MIGRATING = '>', IMPORTING = '<' };

static void print(struct node *const marks[SLOTS], unsigned count, char arrow, struct buf *out)
{
    uint8_t said[SLOT_BYTES] = {0};

    for (unsigned first = 0; first < SLOTS && count > 0; first++) {
        uint8_t bits[SLOT_BYTES] = {0};

        if (marks[first] == NULL || bit_get(said, first))
            continue;
        for (unsigned s = first; s < SLOTS; s++)
            if (marks[s] == marks[first]) {
                bit_set(bits, s);
                bit_set(said, s);
                count--;
            }
        buf_append_format(out, "%.40s%c", marks[first]->id, arrow);
        ranges_print(bits, out);
        buf_append_byte(out, ';');
    }
}

void inherit_print_own(const struct cluster *c, struct buf *out)
{
    print(c->migrating, c->migrating_count, MIGRATING, out);
    print(c->importing, c->importing_count, IMPORTING, out);
}

void inherit_print(const struct cluster *c, struct buf *out)
{
    print(c->inherit.migrating, c->inherit.migrating_count, MIGRATING, out);
    print(c->inherit.importing, c->inherit.importing_count, IMPORTING, out);
}

struct part {
    struct slice id;
    char arrow;
    uint8_t bits[SLOT_BYTES];
};

/* Cuts the next part off *text; false: it is something else. */
static bool next(struct slice *text, struct part *out)
{
    const uint8_t *end = memchr(text->data, ';', text->size);
    size_t size = end != NULL ? (size_t)(end - text->data) : 0;

    if (size <= CLUSTER_ID_SIZE)
        return false;
    out->id = slice_of(text->data, CLUSTER_ID_SIZE);
    out->arrow = (char)text->data[CLUSTER_ID_SIZE];
    memset(out->bits, 0, sizeof out->bits);
    if ((out->arrow != MIGRATING && out->arrow != IMPORTING) ||
        !ranges_parse(slice_of(text->data + CLUSTER_ID_SIZE + 1, size - CLUSTER_ID_SIZE - 1), out->bits))
        return false;
    *text = slice_of(end + 1, text->size - size - 1);
    return true;
}

static bool makes_sense(struct slice text)
{
    struct part part;

    while (text.size > 0)
        if (!next(&text, &part))
            return false;
    return true;
}

static void set(struct cluster *c, struct node **mark, unsigned *count, struct node *n)
{
    if (*mark == n)
        return;
    *count = *count - (*mark != NULL) + (n != NULL);
    *mark = n;
    cluster_changed(c);
}

static void set_migrating(struct cluster *c, unsigned slot, struct node *to)
{
    if (to != NULL)
        slots_set_dropping(c, (slot_t)slot, false); /* the claim was heard before the stream */
    set(c, &c->inherit.migrating[slot], &c->inherit.migrating_count, to);
}

static void set_importing(struct cluster *c, unsigned slot, struct node *from)
{
    if (from != NULL)
        slots_set_dropping(c, (slot_t)slot, false); /* the master keeps what it has of a slot that it lost */
    set(c, &c->inherit.importing[slot], &c->inherit.importing_count, from);
}

bool inherit_read(struct cluster *c, struct slice text)
{
    uint8_t out[SLOT_BYTES] = {0}, in[SLOT_BYTES] = {0};
    struct part part;

    if (!makes_sense(text))
        return false;
    while (text.size > 0 && next(&text, &part)) {
        struct node *n = node_find_slice(c, part.id);

        for (unsigned s = 0; s < SLOTS && n != NULL && n != c->myself; s++) {
            if (!bit_get(part.bits, s))
                continue;
            bit_set(part.arrow == MIGRATING ? out : in, s);
            if (part.arrow == MIGRATING)
                set_migrating(c, s, n);
            else
                set_importing(c, s, n);
        }
    }
    for (unsigned s = 0; s < SLOTS && c->inherit.migrating_count + c->inherit.importing_count > 0; s++) {
        if (!bit_get(out, s))
            set_migrating(c, s, NULL);
        if (!bit_get(in, s))
            set_importing(c, s, NULL);
    }
    return true;
}

void inherit_forget_node(struct cluster *c, const struct node *n)
{
    for (unsigned s = 0; s < SLOTS && c->inherit.migrating_count + c->inherit.importing_count > 0; s++) {
        if (c->inherit.migrating[s] == n)
            set_migrating(c, s, NULL);
        if (c->inherit.importing[s] == n)
            set_importing(c, s, NULL);
    }
}

void inherit_forget(struct cluster *c)
{
    memset(&c->inherit, 0, sizeof c->inherit);
}

/* Who leads now in place of n, if it was failed over, too. */
static struct node *leader(struct node *n)
{
    return n != NULL && n->master != NULL ? n->master : n;
}

void inherit_adopt(struct cluster *c)
{
    unsigned open = c->inherit.migrating_count + c->inherit.importing_count;

    if (open > 0)
        action_log(c, LOG_NOTICE, "My master had opened %u slots. Going on with them", open);
    for (unsigned s = 0; s < SLOTS && open > 0; s++) {
        struct node *to = leader(c->inherit.migrating[s]), *from = leader(c->inherit.importing[s]);
        bool mine = c->owner[s] == c->myself;

        if (to != NULL && to != c->myself && (mine || cluster_slot_keys(c, (slot_t)s) > 0))
            slots_set_migrating(c, (slot_t)s, to);
        if (from != NULL && from != c->myself && !mine)
            slots_set_importing(c, (slot_t)s, from);
    }
    inherit_forget(c);
}
