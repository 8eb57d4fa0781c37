/* The inner loops of int8 products on plain NEON (armv8-a): activations widened to int16 when they are copied, weights on the way;
 * MR rows times a block of 8 channels, one depth at a time by smlal with a lane, four depths a turn. */
#ifndef EDGED_TILE_S8_NEON_MLAL_H
#define EDGED_TILE_S8_NEON_MLAL_H

#pragma GCC optimize("no-schedule-insns")   /* scheduling before register allocation loads all rows at once and spills accumulators */
#include <arm_neon.h>

enum { S8_ROWS = 6, S8_BLOCKS = 1, S8_LANES = 8, S8_GROUP = 1, S8_OFFSET = 0 };

typedef int16_t s8_copied;
#include "tile_s8_neon.h"

#define LANE(l)                                                                                        \
    do {                                                                                               \
        const int16x8_t w = vmovl_s8(vld1_s8(weights + S8_LANES * (l)));                               \
        UNROLL for (int r = 0; r < MR; r++) {                                                          \
            low[r] = vmlal_lane_s16(low[r], vget_low_s16(w), a[r], l);                                 \
            high[r] = vmlal_high_lane_s16(high[r], w, a[r], l);                                        \
        }                                                                                              \
    } while (0)

static inline __attribute__((always_inline)) void s8_tile_body(const s8_tile *t, const int MR) {
    int32x4_t low[S8_ROWS], high[S8_ROWS];
    const int16_t *row[S8_ROWS];
    const int8_t *weights = t->weights;
    UNROLL for (int r = 0; r < MR; r++) {
        row[r] = t->base + t->rows[r];
        low[r] = vld1q_s32(t->bias);
        high[r] = vld1q_s32(t->bias + 4);
    }
    for (int32_t s = 0; s < t->segment_count; s++) {
        ptrdiff_t at = t->segments[s];
        const ptrdiff_t end = at + t->length;
        for (; at + 4 <= end; at += 4, weights += 4 * S8_LANES) {
            int16x4_t a[S8_ROWS];
            UNROLL for (int r = 0; r < MR; r++) a[r] = vld1_s16(row[r] + at);
            LANE(0);
            LANE(1);
            LANE(2);
            LANE(3);
        }
        for (; at < end; at++, weights += S8_LANES) {
            const int16x8_t w = vmovl_s8(vld1_s8(weights));
            UNROLL for (int r = 0; r < MR; r++) {
                const int16x4_t a = vld1_dup_s16(row[r] + at);
                low[r] = vmlal_s16(low[r], vget_low_s16(w), a);
                high[r] = vmlal_s16(high[r], vget_high_s16(w), a);
            }
        }
    }
    UNROLL for (int r = 0; r < MR; r++) {
        vst1q_s32(t->sums + r * S8_LANES, low[r]);
        vst1q_s32(t->sums + r * S8_LANES + 4, high[r]);
    }
}
#undef LANE

#define S8_TILE(MR) \
    static void s8_tile_##MR(const s8_tile *t) { s8_tile_body(t, MR); }
S8_TILE(1) S8_TILE(2) S8_TILE(3) S8_TILE(4) S8_TILE(5) S8_TILE(6)
#undef S8_TILE

static s8_tile_function *const S8_TILES[S8_ROWS][S8_BLOCKS] = {{s8_tile_1}, {s8_tile_2}, {s8_tile_3},
                                                               {s8_tile_4}, {s8_tile_5}, {s8_tile_6}};

#endif
