/*
 * lcs.c - longest common subsequence by dynamic programming: length(i, j) over the prefixes of both.
 */
#include "engine/type/lcs.h"

#include <stdlib.h>

static bool too_big(struct slice a, struct slice b)
{
    return (unsigned __int128)(a.size + 1) * (b.size + 1) * sizeof(uint32_t) > LCS_TABLE_BYTES_MAX;
}

enum err lcs_length(struct slice a, struct slice b, uint64_t *length)
{
    uint32_t *row;

    if (too_big(a, b))
        return ERR_TOO_BIG;
    row = calloc(b.size + 1, sizeof *row);
    if (row == NULL)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < a.size; i++) {
        uint32_t diagonal = 0; /* length(i, j), overwritten in row[] one step ago */

        for (size_t j = 0; j < b.size; j++) {
            uint32_t above = row[j + 1];

            if (a.data[i] == b.data[j])
                row[j + 1] = diagonal + 1;
            else if (row[j] > above)
                row[j + 1] = row[j];
            diagonal = above;
        }
    }
    *length = row[b.size];
    free(row);
    return OK;
}

static void fill(struct slice a, struct slice b, uint32_t *table)
{
    size_t width = b.size + 1;

    for (size_t i = 1; i <= a.size; i++) {
        uint32_t *row = table + i * width;
        const uint32_t *above = row - width;

        for (size_t j = 1; j <= b.size; j++) {
            if (a.data[i - 1] == b.data[j - 1])
                row[j] = above[j - 1] + 1;
            else
                row[j] = above[j] > row[j - 1] ? above[j] : row[j - 1];
        }
    }
}

enum err lcs_find(struct slice a, struct slice b, struct buf *text, struct buf *ranges)
{
    size_t width = b.size + 1, i = a.size, j = b.size, left;
    struct lcs_range range = {0};
    bool open = false;
    uint32_t *table;

    if (too_big(a, b))
        return ERR_TOO_BIG;
    table = calloc((a.size + 1) * width, sizeof *table);
    if (table == NULL)
        return ERR_NO_MEMORY;
    fill(a, b, table);
    left = table[a.size * width + b.size];
    buf_clear(text);
    buf_reserve(text, left);
    text->size = left;
    if (ranges != NULL)
        buf_clear(ranges);
    while (left > 0) { /* from the ends back to the beginning */
        if (a.data[i - 1] == b.data[j - 1]) {
            i--;
            j--;
            text->data[--left] = a.data[i];
            if (open && range.a_start == i + 1 && range.b_start == j + 1) {
                range.a_start = i;
                range.b_start = j;
            } else {
                if (open && ranges != NULL)
                    buf_append(ranges, &range, sizeof range);
                range = (struct lcs_range){i, i, j, j};
                open = true;
            }
        } else if (table[(i - 1) * width + j] > table[i * width + j - 1]) {
            i--;
        } else {
            j--;
        }
    }
    if (open && ranges != NULL)
        buf_append(ranges, &range, sizeof range);
    free(table);
    return OK;
}
