/*
 * fuzz_resp.c - requests from anybody: the first two bytes say how the rest is cut; cut or not, the words are the same.
 */
#include "server/net/resp.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* All words of all requests, and how it ended. */
static void parse(const uint8_t *data, size_t size, size_t step, bool authenticated, struct buf *out)
{
    struct resp_parser parser;
    struct resp_words words = {0};
    struct resp_request request;
    const char *error = NULL;
    uint8_t *bytes = malloc(size + 1);
    size_t at = 0, have = 0;
    enum resp_status status = RESP_MORE;

    resp_init(&parser, 1 << 16);
    parser.authenticated = authenticated;
    while (have < size && status != RESP_ERROR) {
        size_t more = size - have < step ? size - have : step;

        memcpy(bytes + have, data + have, more);
        have += more;
        while (at < have && (status = resp_parse(&parser, bytes + at, have - at, &words, &request, &error)) == RESP_REQUEST) {
            check(request.used > 0 && request.used <= have - at);
            check(request.raw.size == 0 || request.raw.size == request.used);
            check(request.first + request.argc == words.count);
            buf_append_format(out, "*%zu %d|", request.argc, request.raw.size > 0);
            for (size_t i = 0; i < request.argc; i++) {
                buf_append_slice(out, words.words[request.first + i]);
                buf_append_byte(out, '|');
            }
            words.count = 0;
            at += request.used;
        }
        if (status == RESP_MORE)
            check(resp_wanted(&parser) > 0);
    }
    if (status == RESP_ERROR)
        buf_append_str(out, error);
    resp_fini(&parser);
    resp_words_free(&words);
    free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf whole = {0}, cut = {0};

    if (size < 2)
        return 0;
    parse(data + 2, size - 2, size, (data[1] & 1) != 0, &whole);
    parse(data + 2, size - 2, (size_t)data[0] + 1, (data[1] & 1) != 0, &cut);
    check(slice_equal(buf_slice(&whole), buf_slice(&cut)));
    buf_free(&whole);
    buf_free(&cut);
    return 0;
}
