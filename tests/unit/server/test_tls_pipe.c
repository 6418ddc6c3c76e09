/*
 * test_tls_pipe.c - TLS between two buffers: two ends in one process, whose bytes the test carries.
 */
#include "server/net/tls_pipe.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/net/tls.h"
#include "tests/unit/suite.h"

static char folder[64];
static char cert[96], key[96], other_cert[96], other_key[96];

static void make_certificate(const char *name, char *cert_path, char *key_path)
{
    char command[512];

    snprintf(cert_path, 96, "%s/%s.crt", folder, name);
    snprintf(key_path, 96, "%s/%s.key", folder, name);
    snprintf(command, sizeof command,
             "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=%s -keyout %s -out %s 2>/dev/null", name, key_path,
             cert_path);
    ck_assert_msg(system(command) == 0, "openssl is needed");
}

static void make_folder(void)
{
    strcpy(folder, "/tmp/cairn-pipe-XXXXXX");
    ck_assert(mkdtemp(folder) != NULL);
    make_certificate("one", cert, key);
    make_certificate("two", other_cert, other_key);
}

static void remove_folder(void)
{
    char command[96];

    snprintf(command, sizeof command, "rm -rf %s", folder);
    ck_assert(system(command) == 0);
}

static struct tls_context *context(const char *cert_file, const char *key_file, const char *ca_file)
{
    struct tls_options options = {.cert_file = cert_file, .key_file = key_file, .ca_file = ca_file, .client_auth = 1};
    struct tls_context *c = NULL;

    ck_assert_msg(tls_context_new(&options, &c) == OK, "%s", err_text());
    return c;
}

struct end {
    struct tls_pipe *pipe;
    struct buf plain, out; /* what it got; what is to go to the other end */
    enum err error;
};

struct pair {
    struct end client, server;
};

static void pair_open(struct pair *p, struct tls_context *client, struct tls_context *server)
{
    *p = (struct pair){.client.pipe = tls_pipe_new(client, false), .server.pipe = tls_pipe_new(server, true)};
    ck_assert(p->client.pipe != NULL && p->server.pipe != NULL);
    ck_assert(!tls_pipe_ready(p->client.pipe) && !tls_pipe_ready(p->server.pipe));
    ck_assert(tls_pipe_receive(p->client.pipe, slice_of(NULL, 0), &p->client.plain, &p->client.out) == OK);
    ck_assert(p->client.out.size > 0); /* a client speaks first */
}

static void pair_close(struct pair *p)
{
    tls_pipe_free(p->client.pipe);
    tls_pipe_free(p->server.pipe);
    buf_free(&p->client.plain);
    buf_free(&p->client.out);
    buf_free(&p->server.plain);
    buf_free(&p->server.out);
}

/* At most `piece` bytes from one end to the other; false when there is nothing. */
static bool carry(struct end *from, struct end *to, size_t piece)
{
    size_t size = from->out.size < piece ? from->out.size : piece;

    if (size == 0)
        return false;
    if (to->error == OK)
        to->error = tls_pipe_receive(to->pipe, slice_of(from->out.data, size), &to->plain, &to->out);
    buf_consume(&from->out, size);
    return true;
}

static void carry_all(struct pair *p, size_t piece)
{
    bool more = true;

    while (more) {
        more = carry(&p->client, &p->server, piece);
        more = carry(&p->server, &p->client, piece) || more;
    }
}

/* Opens with contexts that believe each other. */
static void pair_of_friends(struct pair *p)
{
    struct tls_context *c = context(cert, key, cert);

    pair_open(p, c, c);
    tls_context_free(c); /* the pipes do not need it any more */
}

START_TEST(tls_pipe__carries_text_both_ways_however_it_is_cut)
{
    static const size_t pieces[] = {1, 7, 1000, 1 << 20};
    struct pair p;
    size_t size = 100000;
    uint8_t *text = malloc(size);

    for (size_t i = 0; i < size; i++)
        text[i] = (uint8_t)(i * 31);
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        pair_of_friends(&p);
        carry_all(&p, pieces[i]);
        ck_assert(tls_pipe_ready(p.client.pipe) && tls_pipe_ready(p.server.pipe));
        ck_assert(p.client.error == OK && p.server.error == OK);
        ck_assert_uint_eq(p.client.plain.size + p.server.plain.size, 0);
        ck_assert(tls_pipe_send(p.client.pipe, slice_of(text, size), &p.client.out) == OK);
        ck_assert(tls_pipe_send(p.server.pipe, slice_of("answer", 6), &p.server.out) == OK);
        ck_assert(p.client.out.size > size); /* sealed, with heads */
        carry_all(&p, pieces[i]);
        ck_assert_uint_eq(p.server.plain.size, size);
        ck_assert_mem_eq(p.server.plain.data, text, size);
        ck_assert_uint_eq(p.client.plain.size, 6);
        ck_assert_mem_eq(p.client.plain.data, "answer", 6);
        pair_close(&p);
    }
    free(text);
}
END_TEST

START_TEST(tls_pipe__nothing_to_send_is_nothing_on_the_wire)
{
    struct pair p;

    pair_of_friends(&p);
    carry_all(&p, SIZE_MAX);
    ck_assert(tls_pipe_send(p.client.pipe, slice_of(NULL, 0), &p.client.out) == OK);
    ck_assert_uint_eq(p.client.out.size, 0);
    pair_close(&p);
    tls_pipe_free(NULL);
}
END_TEST

START_TEST(tls_pipe__a_stranger_is_refused_by_either_end)
{
    struct tls_context *friend = context(cert, key, cert), *stranger = context(other_cert, other_key, other_cert);
    struct tls_context *open = context(other_cert, other_key, cert); /* believes us, but shows what we do not believe */
    struct pair p;

    pair_open(&p, friend, stranger);
    carry_all(&p, SIZE_MAX);
    ck_assert(p.client.error == ERR_PROTOCOL);
    ck_assert(!tls_pipe_ready(p.client.pipe));
    pair_close(&p);

    pair_open(&p, open, friend);
    carry_all(&p, SIZE_MAX);
    ck_assert(p.server.error == ERR_PROTOCOL);
    ck_assert_uint_eq(p.server.plain.size, 0);
    pair_close(&p);
    tls_context_free(friend);
    tls_context_free(stranger);
    tls_context_free(open);
}
END_TEST

START_TEST(tls_pipe__bytes_that_are_no_TLS_are_an_error_with_a_text)
{
    struct pair p;

    pair_of_friends(&p);
    ck_assert(tls_pipe_receive(p.server.pipe, SLICE_LITERAL("RCmb plain bus bytes, not TLS"), &p.server.plain, &p.server.out) ==
              ERR_PROTOCOL);
    ck_assert_ptr_nonnull(strstr(err_text(), "TLS"));
    ck_assert_uint_eq(p.server.plain.size, 0);
    pair_close(&p);
}
END_TEST

START_TEST(tls_pipe__an_altered_byte_gives_no_plain_text)
{
    struct pair p;

    pair_of_friends(&p);
    carry_all(&p, SIZE_MAX);
    ck_assert(tls_pipe_send(p.client.pipe, SLICE_LITERAL("vote for me"), &p.client.out) == OK);
    p.client.out.data[p.client.out.size - 3] ^= 0x10;
    carry_all(&p, SIZE_MAX);
    ck_assert(p.server.error == ERR_PROTOCOL);
    ck_assert_uint_eq(p.server.plain.size, 0);
    pair_close(&p);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("tls_pipe");

    tcase_set_timeout(tests, 60);
    tcase_add_unchecked_fixture(tests, make_folder, remove_folder);
    tcase_add_test(tests, tls_pipe__carries_text_both_ways_however_it_is_cut);
    tcase_add_test(tests, tls_pipe__nothing_to_send_is_nothing_on_the_wire);
    tcase_add_test(tests, tls_pipe__a_stranger_is_refused_by_either_end);
    tcase_add_test(tests, tls_pipe__bytes_that_are_no_TLS_are_an_error_with_a_text);
    tcase_add_test(tests, tls_pipe__an_altered_byte_gives_no_plain_text);
    return suite_run("tls_pipe", tests);
}
