/* The inner loops of int8 products on NEON with sdot: MR rows times NB blocks of 4 channels of packed weights, groups of 4 of
 * depth; sums left in a buffer. 24 accumulators, 4 weights and the activations of a row stay in registers. */
#ifndef EDGED_TILE_S8_NEON_DOTPROD_H
#define EDGED_TILE_S8_NEON_DOTPROD_H

#pragma GCC optimize("no-schedule-insns")   /* scheduling before register allocation loads all rows at once and spills accumulators */
#include <arm_neon.h>

enum { S8_ROWS = 6, S8_BLOCKS = 4, S8_LANES = 4, S8_GROUP = 4, S8_OFFSET = 0 };

typedef int8_t s8_copied;
#include "tile_s8_neon.h"

static inline __attribute__((always_inline)) void s8_tile_body(const s8_tile *t, const int MR, const int NB) {
    int32x4_t sum[S8_ROWS][S8_BLOCKS];
    const int8_t *row[S8_ROWS], *weights[S8_BLOCKS];
    UNROLL for (int r = 0; r < MR; r++) row[r] = t->base + t->rows[r];
    UNROLL for (int j = 0; j < NB; j++) weights[j] = t->weights + j * t->stride;
    UNROLL for (int j = 0; j < NB; j++)
        UNROLL for (int r = 0; r < MR; r++) sum[r][j] = vld1q_s32(t->bias + S8_LANES * j);
    for (int32_t s = 0; s < t->segment_count; s++) {
        const int8_t *from[S8_ROWS];
        UNROLL for (int r = 0; r < MR; r++) from[r] = row[r] + t->segments[s];
        ptrdiff_t left = t->length;
        for (; left > S8_GROUP; left -= 2 * S8_GROUP) {    /* two groups at a time: one load of a row's activations */
            int8x8_t a[S8_ROWS];
            UNROLL for (int r = 0; r < MR; r++) {
                a[r] = vld1_s8(from[r]);
                from[r] += 2 * S8_GROUP;
            }
            UNROLL for (int j = 0; j < NB; j++) {
                const int8x16_t w = vld1q_s8(weights[j]);
                UNROLL for (int r = 0; r < MR; r++) sum[r][j] = vdotq_lane_s32(sum[r][j], w, a[r], 0);
            }
            UNROLL for (int j = 0; j < NB; j++) {
                const int8x16_t w = vld1q_s8(weights[j] + S8_LANES * S8_GROUP);
                UNROLL for (int r = 0; r < MR; r++) sum[r][j] = vdotq_lane_s32(sum[r][j], w, a[r], 1);
                weights[j] += 2 * S8_LANES * S8_GROUP;
            }
        }
        if (left > 0) {
            int8x16_t w[S8_BLOCKS];
            UNROLL for (int j = 0; j < NB; j++) {
                w[j] = vld1q_s8(weights[j]);
                weights[j] += S8_LANES * S8_GROUP;
            }
            UNROLL for (int r = 0; r < MR; r++) {
                uint32_t four;
                memcpy(&four, from[r], 4);
                from[r] += S8_GROUP;
                const int8x8_t a = vreinterpret_s8_u32(vset_lane_u32(four, vdup_n_u32(0), 0));    /* one ldr s */
                UNROLL for (int j = 0; j < NB; j++) sum[r][j] = vdotq_lane_s32(sum[r][j], w[j], a, 0);
            }
        }
    }
    int32_t *const sums = t->sums;
    UNROLL for (int j = 0; j < NB; j++)
        UNROLL for (int r = 0; r < MR; r++) vst1q_s32(sums + (j * S8_ROWS + r) * S8_LANES, sum[r][j]);
}

#define S8_TILE(MR, NB) \
    static void s8_tile_##MR##x##NB(const s8_tile *t) { s8_tile_body(t, MR, NB); }
#define S8_TILES(MR) S8_TILE(MR, 1) S8_TILE(MR, 2) S8_TILE(MR, 3) S8_TILE(MR, 4)
S8_TILES(1) S8_TILES(2) S8_TILES(3) S8_TILES(4) S8_TILES(5) S8_TILES(6)
#undef S8_TILES
#undef S8_TILE

#define S8_ROW(MR) {s8_tile_##MR##x1, s8_tile_##MR##x2, s8_tile_##MR##x3, s8_tile_##MR##x4}
static s8_tile_function *const S8_TILES[S8_ROWS][S8_BLOCKS] = {S8_ROW(1), S8_ROW(2), S8_ROW(3),
                                                               S8_ROW(4), S8_ROW(5), S8_ROW(6)};
#undef S8_ROW

#endif
