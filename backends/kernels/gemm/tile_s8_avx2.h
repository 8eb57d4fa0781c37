/* The inner loops of int8 products on AVX2: MR rows of activations as int16 times NB blocks of 8 channels of packed
 * weights, pairs of depth by vpmaddwd
 * (vpmaddubsw would saturate); sums left in a buffer. */
#ifndef EDGED_TILE_S8_AVX2_H
#define EDGED_TILE_S8_AVX2_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* S8_GROUP: depth of one packed group; S8_OFFSET: what activations are raised by. */
enum { S8_ROWS = 6, S8_BLOCKS = 2, S8_LANES = 8, S8_GROUP = 2, S8_OFFSET = 0 };

typedef int16_t s8_copied;

typedef struct s8_tile {
    const s8_copied *base;
    const int32_t *rows;         /* element offset of each row's depth from base */
    const int32_t *segments;     /* element offset of each segment from its row */
    int32_t segment_count;
    ptrdiff_t length;            /* elements of a segment; read in pairs, the last one whole */
    const int8_t *weights;
    ptrdiff_t stride;            /* bytes from one block of channels to the next */
    const int32_t *bias;
    int32_t *sums;               /* [S8_BLOCKS][S8_ROWS][S8_LANES] */
} s8_tile;

typedef void s8_tile_function(const s8_tile *t);

static inline __m256i broadcast_pair(const int16_t *from) {
    int32_t pair;
    memcpy(&pair, from, 4);
    return _mm256_set1_epi32(pair);
}

/* Sixteen int8 weights (8 channels x 2 of depth) as int16. */
static inline __m256i load_pairs(const int8_t *from) { return _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)from)); }

#define UNROLL _Pragma("GCC unroll 8")

static inline __attribute__((always_inline)) void s8_tile_body(const s8_tile *t, const int MR, const int NB) {
    __m256i sum[S8_ROWS][S8_BLOCKS];
    const int16_t *row[S8_ROWS];
    const int8_t *weights = t->weights;
    const ptrdiff_t stride = t->stride;
    UNROLL for (int r = 0; r < MR; r++) row[r] = t->base + t->rows[r];
    UNROLL for (int j = 0; j < NB; j++)
        UNROLL for (int r = 0; r < MR; r++) sum[r][j] = _mm256_loadu_si256((const __m256i *)(const void *)(t->bias + S8_LANES * j));
    for (int32_t s = 0; s < t->segment_count; s++) {
        ptrdiff_t at = t->segments[s];
        const ptrdiff_t end = at + t->length;
        do {
            __m256i w[S8_BLOCKS];
            UNROLL for (int j = 0; j < NB; j++) w[j] = load_pairs(weights + j * stride);
            weights += S8_LANES * S8_GROUP;
            UNROLL for (int r = 0; r < MR; r++) {
                const __m256i a = broadcast_pair(row[r] + at);
                UNROLL for (int j = 0; j < NB; j++) sum[r][j] = _mm256_add_epi32(sum[r][j], _mm256_madd_epi16(a, w[j]));
            }
            at += S8_GROUP;
        } while (at < end);
    }
    UNROLL for (int j = 0; j < NB; j++)
        UNROLL for (int r = 0; r < MR; r++) _mm256_store_si256((__m256i *)(void *)(t->sums + (j * S8_ROWS + r) * S8_LANES), sum[r][j]);
}

#define S8_TILE(MR, NB) \
    static void s8_tile_##MR##x##NB(const s8_tile *t) { s8_tile_body(t, MR, NB); }
#define S8_TILES(MR) S8_TILE(MR, 1) S8_TILE(MR, 2)
S8_TILES(1) S8_TILES(2) S8_TILES(3) S8_TILES(4) S8_TILES(5) S8_TILES(6)
#undef S8_TILES
#undef S8_TILE

#define S8_ROW(MR) {s8_tile_##MR##x1, s8_tile_##MR##x2}
static s8_tile_function *const S8_TILES[S8_ROWS][S8_BLOCKS] = {S8_ROW(1), S8_ROW(2), S8_ROW(3), S8_ROW(4), S8_ROW(5), S8_ROW(6)};
#undef S8_ROW

#endif
