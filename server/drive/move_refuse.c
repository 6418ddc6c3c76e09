/*
 * move_refuse.c - what CLUSTER does not do while a job has the slots, or the node, that it is about.
 *
 * Both sides of a job rely on their maps: a slot that changes hands otherwise ends the job, with the slots marked on one side and
 * the operator in the dark. So who wants something else with them has to cancel it first, and is told so. Asked under the cluster
 * service's lock, and move_start.c looks at the map again when its jobs have their slots: neither slips past the other.
 */
#include <stdio.h>
#include <string.h>

#include "base/num.h"
#include "server/drive/move_priv.h"

static bool refuse_slot(struct moves *m, int64_t slot, char text[MOVE_MESSAGE_MAX])
{
    if (!moves_has_slot(m, (slot_t)slot))
        return false;
    snprintf(text, MOVE_MESSAGE_MAX, "ERR Slot %d is being moved as a whole (CLUSTER GETSLOTMIGRATIONS). "
                                     "CLUSTER CANCELSLOTMIGRATIONS at its source gives that up", (int)slot);
    return true;
}

/* From first to last, if these are slots: what is wrong with the words otherwise the core will say. */
static bool refuse_range(struct moves *m, struct slice first, struct slice last, char text[MOVE_MESSAGE_MAX])
{
    int64_t a, b;

    if (!num_parse_i64(first, &a) || !num_parse_i64(last, &b) || a < 0 || b >= SLOTS)
        return false;
    for (; a <= b; a++)
        if (refuse_slot(m, a, text))
            return true;
    return false;
}

/* Other side: who it is about is the other side of a job. Else any job will do. */
static bool refuse_node(struct moves *m, const struct slice *other_side, char text[MOVE_MESSAGE_MAX])
{
    bool has = false;

    pthread_mutex_lock(&m->lock);
    for (const struct move *v = m->list; v != NULL && !has; v = v->next)
        has = !move_ended(v->state) && (other_side == NULL || slice_equal(*other_side, slice_str(v->import ? v->source : v->target)));
    pthread_mutex_unlock(&m->lock);
    if (has)
        snprintf(text, MOVE_MESSAGE_MAX, "ERR Slots are being moved as a whole %s (CLUSTER GETSLOTMIGRATIONS). "
                                         "CLUSTER CANCELSLOTMIGRATIONS at their source gives that up",
                 other_side != NULL ? "between that node and this one" : "from here or to here");
    return has;
}

bool moves_refuse(struct moves *m, const struct cluster_command *command, char text[MOVE_MESSAGE_MAX])
{
    const struct slice *argv = command->argv;
    const size_t argc = command->argc;

    if (atomic_load(&m->active) == 0)
        return false;
    switch (command->type) {
    case CLUSTER_CMD_SETSLOT:
        return argc > 0 && refuse_range(m, argv[0], argv[0], text);
    case CLUSTER_CMD_DELSLOTS:
        for (size_t i = 0; i < argc; i++)
            if (refuse_range(m, argv[i], argv[i], text))
                return true;
        return false;
    case CLUSTER_CMD_DELSLOTSRANGE:
        for (size_t i = 0; i + 1 < argc; i += 2)
            if (refuse_range(m, argv[i], argv[i + 1], text))
                return true;
        return false;
    case CLUSTER_CMD_FORGET:
        return argc > 0 && refuse_node(m, &argv[0], text);
    case CLUSTER_CMD_FLUSHSLOTS:
    case CLUSTER_CMD_RESET:
    case CLUSTER_CMD_REPLICATE:
        return refuse_node(m, NULL, text);
    default:
        return false;
    }
}
