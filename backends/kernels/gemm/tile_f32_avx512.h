/* The inner loops of float products on AVX-512: MR rows times NB blocks of 16 channels of packed weights, finished and stored.
 * One body, unrolled for every size by the compiler (looked at with objdump: no accumulator leaves its register inside the
 * loop). */
#ifndef EDGED_TILE_F32_AVX512_H
#define EDGED_TILE_F32_AVX512_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

enum { F32_ROWS = 8, F32_BLOCKS = 3, F32_LANES = 16 };

typedef __mmask16 f32_mask;

typedef struct f32_tile {
    const float *row[F32_ROWS];  /* where each row's depth begins */
    const int32_t *segments;     /* element offset of each segment from its row */
    int32_t segment_count;
    ptrdiff_t length;            /* elements of a segment */
    const float *weights;        /* packed, 64-byte aligned */
    ptrdiff_t stride;            /* elements from one block of channels to the next */
    const float *bias;
    const float *residual;       /* as out, or NULL; added before the clamp */
    float *out;
    ptrdiff_t pitch;             /* elements from one output row to the next */
    f32_mask tail;               /* channels of the last block */
    float act_min, act_max;
} f32_tile;

typedef void f32_tile_function(const f32_tile *t);

static inline f32_mask f32_tail(int32_t lanes) { return (__mmask16)(lanes >= F32_LANES ? 0xFFFF : (1u << lanes) - 1u); }

#define UNROLL _Pragma("GCC unroll 8")

static inline __attribute__((always_inline)) void f32_tile_body(const f32_tile *t, const int MR, const int NB) {
    __m512 sum[F32_ROWS][F32_BLOCKS];
    const float *row[F32_ROWS];
    const float *weights = t->weights;
    const ptrdiff_t stride = t->stride;
    UNROLL for (int r = 0; r < MR; r++) row[r] = t->row[r];
    UNROLL for (int j = 0; j < NB; j++)
        UNROLL for (int r = 0; r < MR; r++) sum[r][j] = _mm512_loadu_ps(t->bias + F32_LANES * j);
    for (int32_t s = 0; s < t->segment_count; s++) {
        ptrdiff_t at = t->segments[s];
        const ptrdiff_t end = at + t->length;
        do {
            __m512 w[F32_BLOCKS];
            UNROLL for (int j = 0; j < NB; j++) w[j] = _mm512_load_ps(weights + j * stride);
            weights += F32_LANES;
            UNROLL for (int r = 0; r < MR; r++) {
                const __m512 a = _mm512_set1_ps(row[r][at]);
                UNROLL for (int j = 0; j < NB; j++) sum[r][j] = _mm512_fmadd_ps(a, w[j], sum[r][j]);
            }
            at++;
        } while (at < end);
    }
    const __m512 low = _mm512_set1_ps(t->act_min), high = _mm512_set1_ps(t->act_max);
    const __mmask16 tail = t->tail;
    UNROLL for (int r = 0; r < MR; r++)
        UNROLL for (int j = 0; j < NB; j++) {
            const __mmask16 mask = j == NB - 1 ? tail : (__mmask16)0xFFFF;
            __m512 v = sum[r][j];
            if (t->residual) v = _mm512_add_ps(v, _mm512_maskz_loadu_ps(mask, t->residual + r * t->pitch + F32_LANES * j));
            /* max/min return their second operand for a NaN: it passes through. */
            v = _mm512_min_ps(high, _mm512_max_ps(low, v));
            _mm512_mask_storeu_ps(t->out + r * t->pitch + F32_LANES * j, mask, v);
        }
}

#define F32_TILE(MR, NB) \
    static void f32_tile_##MR##x##NB(const f32_tile *t) { f32_tile_body(t, MR, NB); }
#define F32_TILES(MR) F32_TILE(MR, 1) F32_TILE(MR, 2) F32_TILE(MR, 3)
F32_TILES(1) F32_TILES(2) F32_TILES(3) F32_TILES(4) F32_TILES(5) F32_TILES(6) F32_TILES(7) F32_TILES(8)
#undef F32_TILES
#undef F32_TILE

#define F32_ROW(MR) {f32_tile_##MR##x1, f32_tile_##MR##x2, f32_tile_##MR##x3}
static f32_tile_function *const F32_TILES[F32_ROWS][F32_BLOCKS] = {
    F32_ROW(1), F32_ROW(2), F32_ROW(3), F32_ROW(4), F32_ROW(5), F32_ROW(6), F32_ROW(7), F32_ROW(8)};
#undef F32_ROW

#endif
