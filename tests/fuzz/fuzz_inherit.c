/*
 * fuzz_inherit.c - what a master says of its open slots: any bytes are marks, or are refused and change nothing.
 */
#include "cluster/inherit.h"

#include "base/check.h"
#include "cluster/node.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define M "0123456789abcdef0123456789abcdef01234567"

static const char conf[] = M " 127.0.0.1:7000@17000 myself,slave " A " 0 0 0 connected\n" A
                             " 127.0.0.1:7001@17001 master - 0 0 1 connected 0-99\nvars currentEpoch 1 lastVoteEpoch 0\n";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cluster_options options = {.seed = 1, .nodes_conf = SLICE_LITERAL(conf)};
    struct cluster *c = NULL;
    struct buf first = {0}, second = {0};
    unsigned marks;

    cluster_config_default(&options.config);
    check(cluster_new(&options, &c) == OK);
    check(inherit_read(c, SLICE_LITERAL(A ">7;")));
    if (inherit_read(c, slice_of(data, size))) {
        inherit_print(c, &first); /* what is printed is read to the same */
        check(inherit_read(c, buf_slice(&first)));
        inherit_print(c, &second);
        check(slice_equal(buf_slice(&first), buf_slice(&second)));
    } else {
        check(c->inherit.migrating[7] != NULL && c->inherit.migrating_count == 1);
    }
    marks = c->inherit.migrating_count + c->inherit.importing_count;
    for (unsigned s = 0; s < SLOTS; s++)
        marks -= (c->inherit.migrating[s] != NULL) + (c->inherit.importing[s] != NULL);
    check(marks == 0);
    buf_free(&first);
    buf_free(&second);
    cluster_free(c);
    return 0;
}
