/*
 * fuzz_arriving.c - what a primary says of arriving slots in its stream: any bytes are ranges, or are refused.
 */
#include "server/drive/move_priv.h"

#include "base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t bits[SLOTS / 8] = {0};
    bool any = false;

    if (!move_ranges_parse(slice_of(data, size), bits))
        return 0;
    for (size_t i = 0; i < sizeof bits; i++)
        any |= bits[i] != 0;
    check(!any || size >= 3);
    return 0;
}
