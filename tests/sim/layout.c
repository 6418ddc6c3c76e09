/*
 * layout.c - see layout.h.
 */
#include "layout.h"

enum { BUS = 17000, CLIENT = 7000 };

void layout_name(struct layout *l, struct rng *rng)
{
    for (unsigned i = 0; i < l->nodes; i++)
        rng_hex(rng, l->ids[i], CLUSTER_ID_SIZE);
}

slot_t layout_boundary(const struct layout *l, unsigned owner)
{
    return (slot_t)((uint64_t)owner * SLOTS / l->owners);
}

int layout_master(const struct layout *l, unsigned node)
{
    return node < l->masters ? -1 : (int)(node % l->masters);
}

void layout_conf(const struct layout *l, unsigned node, struct buf *out)
{
    char ip[CLUSTER_IP_SIZE];
    unsigned port;

    for (unsigned i = 0; i < l->nodes; i++) {
        int master = layout_master(l, i);

        world_address(i, ip, &port);
        buf_append_format(out, "%s %s:%u@%u,,shard-id=%s %s%s %s 0 0 %u connected", l->ids[i], ip, CLIENT, BUS,
                          l->ids[master < 0 ? i : (unsigned)master], i == node ? "myself," : "",
                          master < 0 ? "master" : "slave", master < 0 ? "-" : l->ids[master],
                          master < 0 ? i + 1 : (unsigned)master + 1);
        if (master < 0 && i < l->owners)
            buf_append_format(out, " %u-%u", layout_boundary(l, i), layout_boundary(l, i + 1) - 1u);
        buf_append_str(out, "\n");
    }
    buf_append_format(out, "vars currentEpoch %u lastVoteEpoch 0\n", l->masters);
}
