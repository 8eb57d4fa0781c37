/* The inner loops of int8 products on AVX-512 VNNI: MR rows of unsigned activations (input + 128) times NB blocks of 16 channels of
 * packed weights, sums left in a buffer. Every size is a function of its own, unrolled by the compiler from one body (looked at with objdump: no
 * accumulator leaves its register inside the loop). */
#ifndef EDGED_TILE_S8_VNNI_H
#define EDGED_TILE_S8_VNNI_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#include "finish_s8_avx512.h"

enum { VNNI_ROWS = 8, VNNI_BLOCKS = 3, VNNI_LANES = 16 };

typedef struct vnni_tile {
    const uint8_t *base;
    const int32_t *rows;         /* byte offset of each row's depth from base */
    const int32_t *segments;     /* byte offset of each segment from its row */
    int32_t segment_count;
    ptrdiff_t length;            /* bytes of a segment; read in groups of 4, the last one whole */
    const int8_t *weights;       /* packed, 64-byte aligned */
    ptrdiff_t stride;            /* bytes from one block of channels to the next */
    const int32_t *bias;
    int32_t *sums;               /* [VNNI_BLOCKS][VNNI_ROWS][VNNI_LANES]: always written */
    const finish_s8 *finish;     /* one per block; NULL: leave the sums to the caller */
    ptrdiff_t at;                /* offset of the tile's first output from each block's finish.out */
} vnni_tile;

typedef void vnni_tile_function(const vnni_tile *t);

#define UNROLL _Pragma("GCC unroll 8")

static inline __attribute__((always_inline)) void vnni_tile_body(const vnni_tile *t, const int MR, const int NB) {
    __m512i sum[VNNI_ROWS][VNNI_BLOCKS];
    const uint8_t *row[VNNI_ROWS];
    const int8_t *weights = t->weights;
    const ptrdiff_t stride = t->stride;
    UNROLL for (int r = 0; r < MR; r++) row[r] = t->base + t->rows[r];
    UNROLL for (int j = 0; j < NB; j++)
        UNROLL for (int r = 0; r < MR; r++) sum[r][j] = _mm512_loadu_si512(t->bias + VNNI_LANES * j);
    for (int32_t s = 0; s < t->segment_count; s++) {
        ptrdiff_t at = t->segments[s];
        const ptrdiff_t end = at + t->length;
        do {
            __m512i w[VNNI_BLOCKS];
            UNROLL for (int j = 0; j < NB; j++) w[j] = _mm512_load_si512(weights + j * stride);
            weights += 64;
            UNROLL for (int r = 0; r < MR; r++) {
                const __m512i a = edged_broadcast4(row[r] + at);
                UNROLL for (int j = 0; j < NB; j++) sum[r][j] = _mm512_dpbusd_epi32(sum[r][j], a, w[j]);
            }
            at += 4;
        } while (at < end);
    }
    UNROLL for (int j = 0; j < NB; j++)
        UNROLL for (int r = 0; r < MR; r++) _mm512_store_si512(t->sums + (j * VNNI_ROWS + r) * VNNI_LANES, sum[r][j]);
    if (!t->finish) return;
    UNROLL for (int j = 0; j < NB; j++)
        UNROLL for (int r = 0; r < MR; r += 4) {
            __m512i four[4];
            UNROLL for (int i = 0; i < 4; i++) four[i] = sum[r + i < MR ? r + i : r][j];
            finish_quick(t->finish + j, four, t->sums + (j * VNNI_ROWS + r) * VNNI_LANES, t->at + r * t->finish->pitch, MR - r, j == NB - 1);
        }
}

#define VNNI_TILE(MR, NB) \
    static void vnni_tile_##MR##x##NB(const vnni_tile *t) { vnni_tile_body(t, MR, NB); }
#define VNNI_TILES(MR) VNNI_TILE(MR, 1) VNNI_TILE(MR, 2) VNNI_TILE(MR, 3)
VNNI_TILES(1) VNNI_TILES(2) VNNI_TILES(3) VNNI_TILES(4) VNNI_TILES(5) VNNI_TILES(6) VNNI_TILES(7) VNNI_TILES(8)
#undef VNNI_TILES
#undef VNNI_TILE

#define VNNI_ROW(MR) {vnni_tile_##MR##x1, vnni_tile_##MR##x2, vnni_tile_##MR##x3}
static vnni_tile_function *const VNNI_TILES[VNNI_ROWS][VNNI_BLOCKS] = {
    VNNI_ROW(1), VNNI_ROW(2), VNNI_ROW(3), VNNI_ROW(4), VNNI_ROW(5), VNNI_ROW(6), VNNI_ROW(7), VNNI_ROW(8)};
#undef VNNI_ROW

#endif
