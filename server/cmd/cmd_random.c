/*
 * cmd_random.c - random elements of a hash, a set or a sorted set, which stay where they are: key [count [WITH...]].
 */
#include "server/cmd/cmd_random.h"

#include "engine/type/element_sample.h"
#include "engine/type/zset.h"
#include "server/cmd/args.h"

/* count below 0: so many, with repeats; else distinct ones, at most as many as there are. */
static enum err many(struct call *c, struct obj *o, int64_t count, bool with)
{
    bool pairs = with && reply_protocol(c) == 3;
    struct element_list list = {0};
    enum err e = element_sample(c->txn, o, count < 0 ? (uint64_t)-count : (uint64_t)count, count < 0, &list);

    if (e == OK) {
        (void)reply_array(c, with && !pairs ? 2 * list.count : list.count);
        for (size_t i = 0; i < list.count; i++) {
            if (pairs)
                (void)reply_array(c, 2);
            (void)reply_bulk(c, element_list_name(&list, i));
            if (with && o->type == OBJ_ZSET)
                (void)reply_double(c, zset_list_score(&list, i));
            else if (with)
                (void)reply_bulk(c, element_list_value(&list, i));
        }
    }
    element_list_free(&list);
    return e;
}

/* with: the word behind the count; NULL: there is none. */
static enum err sample(struct call *c, enum obj_type type, const char *with)
{
    struct slice name, value;
    int64_t count = 0;
    struct obj *o;
    enum err e;

    if (c->argc > 3 && with == NULL)
        return reply_syntax(c);
    if (c->argc > 2)
        TRY(arg_count(c, 2, &count));
    if (c->argc > 4 || (c->argc == 4 && !slice_is(c->argv[3], with)))
        return reply_syntax(c);
    if (c->argc > 3 && (count < -INT64_MAX / 2 || count > INT64_MAX / 2))
        return reply_error(c, "ERR value is out of range");
    e = txn_read(c->txn, c->argv[1], type, &o);
    if (e == ERR_NOT_FOUND)
        return c->argc > 2 ? reply_array(c, 0) : reply_null(c);
    TRY(e);
    if (count < -ELEMENT_REPEATS_MAX)
        return reply_error(c, "ERR value is out of range");
    if (c->argc > 2)
        return many(c, o, count, c->argc > 3);
    TRY(element_random(c->txn, o, c->scratch, &name, &value));
    return reply_bulk(c, name);
}

static enum err hrandfield(struct call *c) /* HRANDFIELD key [count [WITHVALUES]] */
{
    return sample(c, OBJ_HASH, "WITHVALUES");
}

static enum err srandmember(struct call *c) /* SRANDMEMBER key [count] */
{
    return sample(c, OBJ_SET, NULL);
}

static enum err zrandmember(struct call *c) /* ZRANDMEMBER key [count [WITHSCORES]] */
{
    return sample(c, OBJ_ZSET, "WITHSCORES");
}

static const struct command_binding rows[] = {
    {"hrandfield", hrandfield, 0},
    {"srandmember", srandmember, 0},
    {"zrandmember", zrandmember, 0},
};
const struct command_table cmd_random_table = COMMAND_TABLE(rows);
