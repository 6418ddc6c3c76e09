/*
 * rng.h - seeded randomness (xoshiro256**). Whoever needs chance is handed a struct rng.
 */
#ifndef CAIRN_BASE_RNG_H
#define CAIRN_BASE_RNG_H

#include <stddef.h>
#include <stdint.h>

struct rng {
    uint64_t state[4];
};

void rng_seed(struct rng *r, uint64_t seed);
uint64_t rng_next(struct rng *r);

/* Uniform in 0 .. bound - 1; bound > 0. */
uint64_t rng_below(struct rng *r, uint64_t bound);

/* Fills out with n lower-case hex characters (no terminator). */
void rng_hex(struct rng *r, char *out, size_t n);

#endif
