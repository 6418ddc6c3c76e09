/*
 * conn_away.c - requests that do not end on their worker: those that a pool thread runs (AWAY), that wait for keys or replicas
 * (BLOCKED), that CLIENT PAUSE or a moving key holds back (HELD); and how the connection goes on behind them.
 *
 * (1) While a request is AWAY or BLOCKED its session belongs to somebody else; every way back ends in resume.
 * (2) A connection that was closed meanwhile is released on the way back.
 */
#include "server/net/conn_priv.h"

#include <stddef.h>
#include <string.h>

#include "server/node_priv.h"

/* ---- Going ---- */

/* CLIENT PAUSE: a client that is held counts as blocked, as in Redis. */
void conn_hold(struct conn *c)
{
    c->state = CONN_HELD;
    c->worker->held_count++;
    atomic_fetch_add(&c->worker->clients->blocked, 1);
}

void conn_unhold(struct conn *c)
{
    c->state = CONN_READY;
    c->worker->held_count--;
    atomic_fetch_sub(&c->worker->clients->blocked, 1);
}

/* Nobody will read the reply, and there is nothing else to it. */
static bool is_in_vain(const struct conn *c)
{
    const struct command *command = LOAD(c->client->command);

    return (LOAD(c->client->flags) & CLIENT_FLAG_CLOSING) != 0 && command != NULL &&
           ((command->flags & FACT_READONLY) != 0 || strcmp(command->name, "info") == 0);
}

/*
 * On a pool thread: executes the requests behind the one that went away, for the next ones often need the disk too, and
 * each way through the pool costs as much as several reads. What must run elsewhere (a long command, one about the
 * connection, bytes that are no whole canonical array) is left to the worker.
 */
static void job_go_on(struct conn *c, struct executor *x)
{
    struct resp_words words = {0};
    struct resp_request r;
    struct plan plan;
    const char *error;

    for (int i = 0; i < BATCH_MAX && c->job_reply.size < OUTPUT_PAUSE_BYTES; i++) {
        size_t at = c->query_at + c->request_used;
        enum executed result;

        if (c->session.close_after_reply || c->session.multi.open || at >= c->query.size || c->query.data[at] != '*')
            break;
        words.count = 0;
        if (resp_parse(&c->parser, c->query.data + at, c->query.size - at, &words, &r, &error) != RESP_REQUEST) {
            resp_rewind(&c->parser);
            break;
        }
        if (r.argc == 0)
            break;
        execute_plan(x, words.words + r.first, r.argc, &plan);
        if (plan.command == NULL || (plan.command->how & (COMMAND_NO_TXN | COMMAND_SLOW | COMMAND_CONNECTION)) != 0)
            break;
        result = execute(x, &c->session, words.words + r.first, r.argc, r.raw, &plan, &c->job_reply);
        if (result == EXECUTE_AWAY || result == EXECUTE_HELD) /* nothing happened: the worker's turn */
            break;
        c->request_used += r.used;
        c->job_result = result;
        if (result == EXECUTE_BLOCKED) /* the session is no longer ours */
            break;
    }
    resp_words_free(&words);
}

static void job_run(struct pool_job *job, struct executor *x)
{
    struct conn *c = (struct conn *)((char *)job - offsetof(struct conn, job));

    c->job_result = is_in_vain(c) ? EXECUTE_DONE
                                  : execute(x, &c->session, c->argv, c->argc, c->raw, NULL, &c->job_reply);
    if (c->job_result == EXECUTE_DONE)
        job_go_on(c, x);
    c->job_block_ms = x->block_ms;
    worker_post(c->worker, &c->away_done);
}

static enum pool_kind kind_of(const struct command *command)
{
    if (command == NULL || (command->how & COMMAND_SLOW) == 0)
        return POOL_QUICK;
    return (command->how & COMMAND_LONG) != 0 ? POOL_LONG : POOL_SLOW;
}

void conn_submit(struct conn *c)
{
    const struct command *command = registry_resolve(c->worker->node->registry, c->argv, c->argc, NULL);

    c->state = CONN_AWAY;
    c->job.run = job_run;
    c->worker->away_count++;
    pool_submit(c->worker->node->pool, &c->job, kind_of(command));
}

static void on_timer(uv_timer_t *timer)
{
    conn_unblock(timer->data, WAITING_TIMEOUT);
}

void conn_block(struct conn *c, msec_t block_ms)
{
    c->state = CONN_BLOCKED;
    client_set_flag(c->client, CLIENT_FLAG_BLOCKED, true);
    atomic_fetch_add(&c->worker->clients->blocked, 1);
    if (block_ms > 0) {
        uv_timer_start(&c->timer, on_timer, (uint64_t)block_ms, 0);
        c->timed = true;
        atomic_fetch_add(&c->worker->clients->blocked_timed, 1);
    }
}

/* ---- Coming back ---- */

/* The request under way is over. */
static void request_over(struct conn *c)
{
    c->query_at += c->request_used;
    c->argc = c->request_used = 0;
    c->raw = (struct slice){0};
    if (c->query_at == c->query.size) {
        buf_clear(&c->query);
        c->query_at = 0;
    }
}

/* The session is ours again. */
static void resume(struct conn *c)
{
    c->state = CONN_READY;
    if (c->dead) {
        conn_release(c);
        return;
    }
    conn_note(c);
    if (c->session.close_after_reply)
        c->closing = true;
    if (conn_output_pending(c) > 0 || c->closing)
        worker_flush_later(c->worker, c);
    conn_go_on(c);
    if (!c->dead)
        conn_watch(c);
}

void conn_away_done(struct conn *c)
{
    c->worker->away_count--;
    if (c->job_result == EXECUTE_AWAY) { /* a key that was being moved away is free again */
        conn_submit(c);
        return;
    }
    if (c->job_result == EXECUTE_HELD) {
        if (c->dead) {
            c->state = CONN_READY;
            conn_release(c);
        } else {
            conn_hold(c);
        }
        return;
    }
    conn_output_take(c);
    buf_append_slice(&c->out, buf_slice(&c->job_reply));
    if (c->job_reply.capacity > OUTPUT_KEEP_BYTES)
        buf_free(&c->job_reply);
    buf_clear(&c->job_reply);
    request_over(c);
    if (c->job_result == EXECUTE_BLOCKED) {
        conn_block(c, c->job_block_ms);
        if (conn_output_pending(c) > 0)
            worker_flush_later(c->worker, c);
        if (c->delivered_early) {
            struct buf none = {0};

            c->delivered_early = false;
            conn_delivered(c, &none);
        } else if (c->dead && waiting_cancel(c->worker->node->waiting, &c->worker->x, &c->session, WAITING_CLOSED, &c->out)) {
            struct buf none = {0};

            conn_delivered(c, &none);
        } else {
            conn_watch(c);
        }
        return;
    }
    resume(c);
}

void conn_delivered(struct conn *c, struct buf *reply)
{
    if (!c->dead) {
        conn_output_take(c);
        buf_append_slice(&c->out, buf_slice(reply));
    }
    if (c->state == CONN_AWAY) { /* the pool thread's own message is still on its way */
        c->delivered_early = true;
        return;
    }
    conn_untimed(c);
    client_set_flag(c->client, CLIENT_FLAG_BLOCKED, false);
    atomic_fetch_sub(&c->worker->clients->blocked, 1);
    resume(c);
}

void conn_unblock(struct conn *c, enum waiting_end how)
{
    struct buf reply = {0};

    if (c->state != CONN_BLOCKED || !waiting_cancel(c->worker->node->waiting, &c->worker->x, &c->session, how, &reply))
        return;
    worker_fresh(c->worker);
    conn_delivered(c, &reply);
    buf_free(&reply);
}

void conn_retry(struct conn *c)
{
    if (c->state != CONN_HELD)
        return;
    conn_unhold(c);
    c->worker->x.clock_ns = 0;
    conn_output_take(c);
    switch (execute(&c->worker->x, &c->session, c->argv, c->argc, c->raw, NULL, &c->out)) {
    case EXECUTE_DONE:
        request_over(c);
        resume(c);
        return;
    case EXECUTE_BLOCKED:
        request_over(c);
        conn_block(c, c->worker->x.block_ms);
        break;
    case EXECUTE_AWAY:
        conn_submit(c);
        break;
    case EXECUTE_HELD:
        conn_hold(c);
        break;
    }
    conn_watch(c);
}
