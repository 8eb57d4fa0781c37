/* The inner loops of float products on NEON: MR rows times NB blocks of 4 channels of packed weights, four depths a turn with the
 * activations in lanes; finished and stored. 18 accumulators, 6 activations and 3 weights stay in registers. */
#ifndef EDGED_TILE_F32_NEON_H
#define EDGED_TILE_F32_NEON_H

#pragma GCC optimize("no-schedule-insns")   /* scheduling before register allocation loads all rows at once and spills accumulators */
#include <arm_neon.h>
#include <stddef.h>
#include <stdint.h>

enum { F32_ROWS = 6, F32_BLOCKS = 3, F32_LANES = 4 };

typedef int32_t f32_mask;        /* channels of the last block, 1 ... 4 */

typedef struct f32_tile {
    const float *row[F32_ROWS];  /* where each row's depth begins */
    const int32_t *segments;     /* element offset of each segment from its row */
    int32_t segment_count;
    ptrdiff_t length;            /* elements of a segment */
    const float *weights;        /* packed */
    ptrdiff_t stride;            /* elements from one block of channels to the next */
    const float *bias;
    const float *residual;       /* as out, or NULL; added before the clamp */
    float *out;
    ptrdiff_t pitch;             /* elements from one output row to the next */
    f32_mask tail;
    float act_min, act_max;
} f32_tile;

typedef void f32_tile_function(const f32_tile *t);

static inline f32_mask f32_tail(int32_t lanes) { return lanes < F32_LANES ? lanes : F32_LANES; }

#define UNROLL _Pragma("GCC unroll 16")

/* One depth of all rows: lane l of the activations times the weights behind it. */
#define LANE(l)                                                                                                \
    do {                                                                                                       \
        float32x4_t w[F32_BLOCKS];                                                                             \
        UNROLL for (int j = 0; j < NB; j++) w[j] = vld1q_f32(weights[j] + F32_LANES * (l));                    \
        UNROLL for (int r = 0; r < MR; r++)                                                                    \
            UNROLL for (int j = 0; j < NB; j++) sum[r][j] = vfmaq_laneq_f32(sum[r][j], w[j], a[r], l);         \
    } while (0)

static inline float32x4_t load_some(const float *from, int32_t lanes) {
    float each[4] = {0, 0, 0, 0};
    for (int32_t n = 0; n < lanes; n++) each[n] = from[n];
    return vld1q_f32(each);
}

static inline void store_some(float *to, float32x4_t v, int32_t lanes) {
    float each[4];
    vst1q_f32(each, v);
    for (int32_t n = 0; n < lanes; n++) to[n] = each[n];
}

/* Not vmaxq and vminq alone: a NaN passes through, as they let it. */
static inline float32x4_t finish_f32(const f32_tile *t, float32x4_t v, int r, int j, int last) {
    const ptrdiff_t at = r * t->pitch + F32_LANES * j;
    const int part = last && t->tail < F32_LANES;
    if (t->residual) v = vaddq_f32(v, part ? load_some(t->residual + at, t->tail) : vld1q_f32(t->residual + at));
    v = vminq_f32(vmaxq_f32(v, vdupq_n_f32(t->act_min)), vdupq_n_f32(t->act_max));
    if (part) store_some(t->out + at, v, t->tail);
    else vst1q_f32(t->out + at, v);
    return v;
}

static inline __attribute__((always_inline)) void f32_tile_body(const f32_tile *t, const int MR, const int NB) {
    float32x4_t sum[F32_ROWS][F32_BLOCKS];
    const float *row[F32_ROWS], *weights[F32_BLOCKS];
    UNROLL for (int r = 0; r < MR; r++) row[r] = t->row[r];
    UNROLL for (int j = 0; j < NB; j++) weights[j] = t->weights + j * t->stride;
    UNROLL for (int j = 0; j < NB; j++)
        UNROLL for (int r = 0; r < MR; r++) sum[r][j] = vld1q_f32(t->bias + F32_LANES * j);
    for (int32_t s = 0; s < t->segment_count; s++) {
        ptrdiff_t at = t->segments[s];
        const ptrdiff_t end = at + t->length;
        for (; at + 4 <= end; at += 4) {
            float32x4_t a[F32_ROWS];
            UNROLL for (int r = 0; r < MR; r++) a[r] = vld1q_f32(row[r] + at);
            LANE(0);
            LANE(1);
            LANE(2);
            LANE(3);
            UNROLL for (int j = 0; j < NB; j++) weights[j] += 4 * F32_LANES;
        }
        for (; at < end; at++)
            UNROLL for (int j = 0; j < NB; j++) {
                const float32x4_t w = vld1q_f32(weights[j]);
                UNROLL for (int r = 0; r < MR; r++) sum[r][j] = vfmaq_n_f32(sum[r][j], w, row[r][at]);
                weights[j] += F32_LANES;
            }
    }
    UNROLL for (int r = 0; r < MR; r++)
        UNROLL for (int j = 0; j < NB; j++) finish_f32(t, sum[r][j], r, j, j == NB - 1);
}
#undef LANE

#define F32_TILE(MR, NB) \
    static void f32_tile_##MR##x##NB(const f32_tile *t) { f32_tile_body(t, MR, NB); }
#define F32_TILES(MR) F32_TILE(MR, 1) F32_TILE(MR, 2) F32_TILE(MR, 3)
F32_TILES(1) F32_TILES(2) F32_TILES(3) F32_TILES(4) F32_TILES(5) F32_TILES(6)
#undef F32_TILES
#undef F32_TILE

#define F32_ROW(MR) {f32_tile_##MR##x1, f32_tile_##MR##x2, f32_tile_##MR##x3}
static f32_tile_function *const F32_TILES[F32_ROWS][F32_BLOCKS] = {F32_ROW(1), F32_ROW(2), F32_ROW(3),
                                                                   F32_ROW(4), F32_ROW(5), F32_ROW(6)};
#undef F32_ROW

#endif
