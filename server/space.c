/*
 * space.c - the gate between clients' writes and a disk that is nearly full.
 */
#include "server/space.h"

#include "persistence/wal.h"
#include "server/run/facts.h"
#include "server/run/registry.h"
#include "server/run/session.h"

enum err space_gate(void *context, const struct gate *g)
{
    if (!(g->command->flags & FACT_WRITE) || g->session->is_primary || !wal_space_low(node_wal(context)))
        return OK;
    return gate_refuse(g, "MISCONF Errors writing to the AOF file: No space left on device");
}
