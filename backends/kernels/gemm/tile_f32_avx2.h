/* The inner loops of float products on AVX2: MR rows times NB blocks of 8 channels of packed weights, finished and stored.
 * One body, unrolled for every size by the compiler (looked at with objdump: no accumulator leaves its register inside the
 * loop). */
#ifndef EDGED_TILE_F32_AVX2_H
#define EDGED_TILE_F32_AVX2_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

enum { F32_ROWS = 6, F32_BLOCKS = 2, F32_LANES = 8 };

typedef __m256i f32_mask;

typedef struct f32_tile {
    const float *row[F32_ROWS];  /* where each row's depth begins */
    const int32_t *segments;     /* element offset of each segment from its row */
    int32_t segment_count;
    ptrdiff_t length;            /* elements of a segment */
    const float *weights;        /* packed, 32-byte aligned */
    ptrdiff_t stride;            /* elements from one block of channels to the next */
    const float *bias;
    const float *residual;       /* as out, or NULL; added before the clamp */
    float *out;
    ptrdiff_t pitch;             /* elements from one output row to the next */
    f32_mask tail;               /* channels of the last block */
    float act_min, act_max;
} f32_tile;

typedef void f32_tile_function(const f32_tile *t);

/* The first `lanes` lanes; all when there are more. */
static inline f32_mask f32_tail(int32_t lanes) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(lanes), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

#define UNROLL _Pragma("GCC unroll 8")

static inline __attribute__((always_inline)) void f32_tile_body(const f32_tile *t, const int MR, const int NB) {
    __m256 sum[F32_ROWS][F32_BLOCKS];
    const float *row[F32_ROWS];
    const float *weights = t->weights;
    const ptrdiff_t stride = t->stride;
    UNROLL for (int r = 0; r < MR; r++) row[r] = t->row[r];
    UNROLL for (int j = 0; j < NB; j++)
        UNROLL for (int r = 0; r < MR; r++) sum[r][j] = _mm256_loadu_ps(t->bias + F32_LANES * j);
    for (int32_t s = 0; s < t->segment_count; s++) {
        ptrdiff_t at = t->segments[s];
        const ptrdiff_t end = at + t->length;
        do {
            __m256 w[F32_BLOCKS];
            UNROLL for (int j = 0; j < NB; j++) w[j] = _mm256_load_ps(weights + j * stride);
            weights += F32_LANES;
            UNROLL for (int r = 0; r < MR; r++) {
                const __m256 a = _mm256_set1_ps(row[r][at]);
                UNROLL for (int j = 0; j < NB; j++) sum[r][j] = _mm256_fmadd_ps(a, w[j], sum[r][j]);
            }
            at++;
        } while (at < end);
    }
    const __m256 low = _mm256_set1_ps(t->act_min), high = _mm256_set1_ps(t->act_max);
    const f32_mask tail = t->tail;
    UNROLL for (int r = 0; r < MR; r++)
        UNROLL for (int j = 0; j < NB; j++) {
            float *out = t->out + r * t->pitch + F32_LANES * j;
            __m256 v = sum[r][j];
            const int last = j == NB - 1;
            if (t->residual) {
                const float *from = t->residual + r * t->pitch + F32_LANES * j;
                v = _mm256_add_ps(v, last ? _mm256_maskload_ps(from, tail) : _mm256_loadu_ps(from));
            }
            /* max/min return their second operand for a NaN: it passes through. */
            v = _mm256_min_ps(high, _mm256_max_ps(low, v));
            if (last) _mm256_maskstore_ps(out, tail, v);
            else _mm256_storeu_ps(out, v);
        }
}

#define F32_TILE(MR, NB) \
    static void f32_tile_##MR##x##NB(const f32_tile *t) { f32_tile_body(t, MR, NB); }
#define F32_TILES(MR) F32_TILE(MR, 1) F32_TILE(MR, 2)
F32_TILES(1) F32_TILES(2) F32_TILES(3) F32_TILES(4) F32_TILES(5) F32_TILES(6)
#undef F32_TILES
#undef F32_TILE

#define F32_ROW(MR) {f32_tile_##MR##x1, f32_tile_##MR##x2}
static f32_tile_function *const F32_TILES[F32_ROWS][F32_BLOCKS] = {F32_ROW(1), F32_ROW(2), F32_ROW(3), F32_ROW(4), F32_ROW(5), F32_ROW(6)};
#undef F32_ROW

#endif
