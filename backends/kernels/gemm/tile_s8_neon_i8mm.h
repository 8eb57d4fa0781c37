/* The inner loops of int8 products on NEON with smmla: MR rows, two and two, times NB blocks of 4 channels of packed weights, groups
 * of 8 of depth; sums left in a buffer. An accumulator holds two rows times two channels: 24 of them, the rows' activations and
 * a block's weights stay in registers. */
#ifndef EDGED_TILE_S8_NEON_I8MM_H
#define EDGED_TILE_S8_NEON_I8MM_H

#pragma GCC optimize("no-schedule-insns")   /* scheduling before register allocation loads all weights at once and spills accumulators */
#include <arm_neon.h>

enum { S8_ROWS = 6, S8_BLOCKS = 4, S8_LANES = 4, S8_GROUP = 8, S8_OFFSET = 0, S8_PAIRS = S8_ROWS / 2 };

typedef int8_t s8_copied;
#include "tile_s8_neon.h"

/* An odd last row is multiplied twice and kept once. */
static inline __attribute__((always_inline)) void s8_tile_body(const s8_tile *t, const int MR, const int NB) {
    const int pairs = (MR + 1) / 2;
    int32x4_t sum[S8_PAIRS][S8_BLOCKS][2];
    const int8_t *row[S8_ROWS], *weights[S8_BLOCKS];
    UNROLL for (int r = 0; r < MR; r++) row[r] = t->base + t->rows[r];
    UNROLL for (int j = 0; j < NB; j++) {
        weights[j] = t->weights + j * t->stride;
        const int64x2_t bias = vreinterpretq_s64_s32(vld1q_s32(t->bias + S8_LANES * j));
        UNROLL for (int r = 0; r < pairs; r++) {
            sum[r][j][0] = vreinterpretq_s32_s64(vdupq_laneq_s64(bias, 0));
            sum[r][j][1] = vreinterpretq_s32_s64(vdupq_laneq_s64(bias, 1));
        }
    }
    for (int32_t s = 0; s < t->segment_count; s++) {
        const int8_t *from[S8_ROWS];
        UNROLL for (int r = 0; r < MR; r++) from[r] = row[r] + t->segments[s];
        ptrdiff_t left = t->length;
        do {
            int8x16_t a[S8_PAIRS];
            UNROLL for (int r = 0; r < pairs; r++) {
                const int8x8_t one = vld1_s8(from[2 * r]);
                a[r] = vcombine_s8(one, 2 * r + 1 < MR ? vld1_s8(from[2 * r + 1]) : one);
            }
            UNROLL for (int r = 0; r < MR; r++) from[r] += S8_GROUP;
            UNROLL for (int j = 0; j < NB; j++) {
                const int8x16_t low = vld1q_s8(weights[j]), high = vld1q_s8(weights[j] + 16);
                weights[j] += S8_LANES * S8_GROUP;
                UNROLL for (int r = 0; r < pairs; r++) {
                    sum[r][j][0] = vmmlaq_s32(sum[r][j][0], a[r], low);
                    sum[r][j][1] = vmmlaq_s32(sum[r][j][1], a[r], high);
                }
            }
            left -= S8_GROUP;
        } while (left > 0);
    }
    UNROLL for (int j = 0; j < NB; j++)
        UNROLL for (int r = 0; r < MR; r++) {
            const int64x2_t low = vreinterpretq_s64_s32(sum[r / 2][j][0]), high = vreinterpretq_s64_s32(sum[r / 2][j][1]);
            const int64x2_t four = r % 2 ? vzip2q_s64(low, high) : vzip1q_s64(low, high);
            vst1q_s32(t->sums + (j * S8_ROWS + r) * S8_LANES, vreinterpretq_s32_s64(four));
        }
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
