/*
 * jobs_fault.c - faults at chosen steps.
 */
#include "jobs_fault.h"

#include "cluster/cluster_priv.h"
#include "cluster/node.h"

#include <stdio.h>

static const char *const step_names[JOB_STEPS] = {"establish", "view", "log", "finish", "claimed", "find out", "confirm", "ended"};
static const char *const fault_names[JOB_FAULTS] = {"none",       "kill src", "kill dst", "fail over src", "fail over dst",
                                                    "ask src",    "ask dst",  "cut src",  "cut dst",       "cut both",
                                                    "cut between", "cancel",  "break"};

void jobs_draw_fault(struct jobs *j, struct job *v)
{
    if (j->calm || rng_below(&j->rng, 4) == 0)
        return;
    v->fault = (enum job_fault)rng_below(&j->rng, JOB_FAULTS);
    v->fault_at = (enum job_step)rng_below(&j->rng, JOB_STEPS);
}

static void kill_for(struct jobs *j, unsigned node, msec_t most)
{
    world_crash_for(j->checker->world, node, 1 + (msec_t)rng_below(&j->rng, (uint64_t)most));
}

static void ask_replica_of(struct jobs *j, unsigned master)
{
    for (unsigned i = 0; i < world_node_count(j->checker->world); i++)
        if (j->stock->nodes[i].master == (int)master && world_node(j->checker->world, i)->core != NULL) {
            world_command(j->checker->world, i, CLUSTER_CMD_FAILOVER, rng_below(&j->rng, 5) == 0 ? "force" : "");
            return;
        }
}

/* Who is inside is cut off from who is not. */
static void cut(struct jobs *j, const bool *inside)
{
    struct network *net = world_network(j->checker->world);

    for (unsigned a = 0; a < world_node_count(j->checker->world); a++)
        for (unsigned b = 0; b < world_node_count(j->checker->world); b++)
            net->cut[a][b] |= inside[a] != inside[b];
    net->partitioned = true;
    net->partitioned_at = world_now(j->checker->world);
}

static void cut_off(struct jobs *j, unsigned a, unsigned b, bool others)
{
    bool inside[SIM_NODES_MAX] = {false};

    inside[a] = inside[b] = true;
    for (unsigned i = 0; i < world_node_count(j->checker->world) && others; i++)
        inside[i] |= j->stock->nodes[i].master >= 0 && rng_below(&j->rng, 2) != 0;
    cut(j, inside);
}

static void cut_between(struct jobs *j, unsigned a, unsigned b)
{
    struct network *net = world_network(j->checker->world);

    net->cut[a][b] = net->cut[b][a] = true;
    net->partitioned = true;
    net->partitioned_at = world_now(j->checker->world);
}

void jobs_strike(struct jobs *j, struct job *v)
{
    if (j->calm || v->struck || v->fault == JOB_FAULT_NONE)
        return;
    if (v->fault_at == JOB_FIND_OUT && v->step == JOB_FINISH && rng_below(&j->rng, 4) == 0)
        v->step = JOB_FIND_OUT; /* an error of the source's socket; the target sees none */
    if (v->step != v->fault_at || (v->step != JOB_CLAIMED && v->step != JOB_CONFIRM && rng_below(&j->rng, 3) != 0))
        return;
    v->struck = true;
    j->cells[v->step][v->fault]++;
    if (j->verbose)
        printf("%8lld job %u at %s: %s\n", (long long)world_now(j->checker->world), v->id, step_names[v->step], fault_names[v->fault]);
    switch (v->fault) {
    case JOB_FAULT_KILL_SOURCE:
    case JOB_FAULT_KILL_TARGET:
        kill_for(j, v->fault == JOB_FAULT_KILL_SOURCE ? v->from : v->to, 300);
        break;
    case JOB_FAULT_FAIL_OVER_SOURCE:
    case JOB_FAULT_FAIL_OVER_TARGET:
        kill_for(j, v->fault == JOB_FAULT_FAIL_OVER_SOURCE ? v->from : v->to, 6 * j->node_timeout_ms);
        break;
    case JOB_FAULT_ASK_SOURCE:
    case JOB_FAULT_ASK_TARGET:
        ask_replica_of(j, v->fault == JOB_FAULT_ASK_SOURCE ? v->from : v->to);
        break;
    case JOB_FAULT_CUT_OFF_SOURCE:
        cut_off(j, v->from, v->from, false);
        break;
    case JOB_FAULT_CUT_OFF_TARGET:
        cut_off(j, v->to, v->to, false);
        break;
    case JOB_FAULT_CUT_OFF_BOTH:
        cut_off(j, v->from, v->to, true);
        break;
    case JOB_FAULT_CUT_BETWEEN:
        cut_between(j, v->from, v->to);
        break;
    case JOB_FAULT_CANCEL:
        v->broken |= v->step < JOB_FINISH;
        break;
    case JOB_FAULT_BREAK:
        v->broken = true;
        break;
    case JOB_FAULT_NONE:
    case JOB_FAULTS:
        break;
    }
}

bool jobs_print_cells(const unsigned cells[JOB_STEPS][JOB_FAULTS])
{
    bool all = true;

    printf("%-14s", "fault at step");
    for (unsigned s = 0; s < JOB_STEPS; s++)
        printf("%10s", step_names[s]);
    printf("\n");
    for (unsigned f = 1; f < JOB_FAULTS; f++) {
        printf("%-14s", fault_names[f]);
        for (unsigned s = 0; s < JOB_STEPS; s++) {
            printf("%10u", cells[s][f]);
            all &= cells[s][f] > 0;
        }
        printf("\n");
    }
    return all;
}
