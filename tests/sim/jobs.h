/*
 * jobs.h - atomic migrations in a simulated cluster: the driver's half of server/drive/move.h, with its messages, and a fault at a chosen
 * step of each.
 */
#ifndef CAIRN_TESTS_SIM_JOBS_H
#define CAIRN_TESTS_SIM_JOBS_H

#include "cluster/handover.h"
#include "stock.h"

enum { JOBS_MAX = 3, PACKETS_MAX = 64 };

/* Where a job stands when its fault strikes. */
enum job_step {
    JOB_ESTABLISH, /* asked, not answered */
    JOB_VIEW,      /* the keys are on their way */
    JOB_LOG,       /* they have come, and writes follow */
    JOB_FINISH,    /* writes wait, FINISH is on its way */
    JOB_CLAIMED,   /* durable at the target; the source does not know */
    JOB_FIND_OUT,  /* the source was not answered */
    JOB_CONFIRM,   /* the source was answered, and its map does not show it yet */
    JOB_ENDED,     /* the source drops the keys */
    JOB_STEPS,
};

enum job_fault {
    JOB_FAULT_NONE,
    JOB_FAULT_KILL_SOURCE,
    JOB_FAULT_KILL_TARGET,
    JOB_FAULT_FAIL_OVER_SOURCE, /* it stays away until a replica has taken over, and longer */
    JOB_FAULT_FAIL_OVER_TARGET,
    JOB_FAULT_ASK_SOURCE, /* CLUSTER FAILOVER at a replica */
    JOB_FAULT_ASK_TARGET,
    JOB_FAULT_CUT_OFF_SOURCE, /* from all */
    JOB_FAULT_CUT_OFF_TARGET,
    JOB_FAULT_CUT_OFF_BOTH, /* the two and some others from the rest */
    JOB_FAULT_CUT_BETWEEN,  /* the two from each other */
    JOB_FAULT_CANCEL,
    JOB_FAULT_BREAK, /* the connection */
    JOB_FAULTS,
};

struct job {
    bool used;
    unsigned id, from, to, from_life, to_life;
    unsigned at[STOCK_SLOTS]; /* places in the stock */
    slot_t slots[STOCK_SLOTS];
    unsigned count, pace_ms, patience_ms; /* a message takes up to that much longer; the source waits so long for FINISH's answer */
    char source[CLUSTER_ID_SIZE + 1], target[CLUSTER_ID_SIZE + 1];
    enum job_step fault_at;
    enum job_fault fault;
    bool struck;

    /* Source */
    bool departs; /* its half lives */
    enum job_step step;
    msec_t since, next_query;
    msec_t heard_since; /* of handover_judge */
    uint64_t above;     /* of taking back; 0: not yet */
    unsigned rounds, asked;

    /* Target */
    bool arrives, live, finishing; /* finishing: FINISH is being worked on */
    msec_t finish_until;
    uint64_t finish_epoch;
    uint32_t finish_keys[STOCK_SLOTS];

    bool broken;   /* the connection, for both */
    msec_t last[2]; /* when the last message on it comes, per direction */
};

enum packet_type { PACKET_ESTABLISH, PACKET_DATA, PACKET_FINISH, PACKET_QUERY, PACKET_YES, PACKET_NO, PACKET_CLAIMED, PACKET_ABORTED };

struct packet {
    bool used;
    enum packet_type type;
    unsigned job, id, asked; /* id: of the job; a place may have another one by now */
    bool to_target;
    msec_t time;
    uint64_t order, epoch;
    struct stock_slot *data; /* owned; DATA: one per slot. FINISH: only the counts mean something */
};

struct jobs {
    struct stock *stock;
    struct checker *checker;
    struct rng rng;
    unsigned planted_bugs;
    msec_t node_timeout_ms;
    bool verbose;
    bool calm; /* no more faults and no new jobs */
    uint64_t order;
    unsigned next_id, begun, claimed, failed, taken_back;
    unsigned cells[JOB_STEPS][JOB_FAULTS]; /* faults that struck */
    struct job list[JOBS_MAX];
    struct packet packets[PACKETS_MAX];
};

void jobs_init(struct jobs *j, struct stock *stock, uint64_t seed, msec_t node_timeout_ms, unsigned planted_bugs);
void jobs_fini(struct jobs *j);

/* One turn of everything; every STOCK_TURN_MS. May begin a job. */
void jobs_turn(struct jobs *j);

bool jobs_idle(const struct jobs *j);
void jobs_crashed(struct jobs *j, struct sim_node *node);

#endif
