/* The inner loops of int8 products on AVX-512 VNNI: MR rows of unsigned activations (input + 128) times NB blocks of 16
 * channels of
 * packed weights, sums left in a buffer. Every size is a function of its own, unrolled by the compiler from one body
 * (looked at with objdump: no
 * accumulator leaves its register inside the loop). */
#ifndef EDGED_TILE_S8_VNNI_H
#define EDGED_TILE_S8_VNNI_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#include "finish_s8_avx512.h"

/* S8_GROUP: depth of one packed group; S8_OFFSET: what activations are raised by. */
enum { S8_ROWS = 8, S8_BLOCKS = 3, S8_LANES = 16, S8_GROUP = 4, S8_OFFSET = 128 };

typedef uint8_t s8_copied;

typedef struct s8_tile {
    const s8_copied *base;
    const int32_t *rows;         /* byte offset of each row's depth from base */
    const int32_t *segments;     /* byte offset of each segment from its row */
    int32_t segment_count;
    ptrdiff_t length;            /* bytes of a segment; read in groups of 4, the last one whole */
    const int8_t *weights;       /* packed, 64-byte aligned */
    ptrdiff_t stride;            /* bytes from one block of channels to the next */
    const int32_t *bias;
    int32_t *sums;               /* [S8_BLOCKS][S8_ROWS][S8_LANES] */
    const finish_s8 *finish;     /* one per block; NULL: leave the sums to the caller */
    int held;                    /* see edged_scale_x16_do */
    ptrdiff_t at;                /* offset of the tile's first output from each block's finish.out */
} s8_tile;

typedef void s8_tile_function(const s8_tile *t);

#define UNROLL _Pragma("GCC unroll 8")

static inline __attribute__((always_inline)) void s8_tile_finish(const s8_tile *t, __m512i (*sum)[S8_BLOCKS], const int MR, const int NB, const int held) {
    UNROLL for (int j = 0; j < NB; j++)
        UNROLL for (int r = 0; r < MR; r += 4) {
            __m512i four[4];
            UNROLL for (int i = 0; i < 4; i++) four[i] = sum[r + i < MR ? r + i : r][j];
            finish_quick(t->finish + j, four, t->sums, t->at + r * t->finish->pitch, MR - r, j == NB - 1, held);
        }
}

static inline __attribute__((always_inline)) void s8_tile_body(const s8_tile *t, const int MR, const int NB) {
    __m512i sum[S8_ROWS][S8_BLOCKS];
    const uint8_t *row[S8_ROWS];
    const int8_t *weights = t->weights;
    const ptrdiff_t stride = t->stride;
    UNROLL for (int r = 0; r < MR; r++) row[r] = t->base + t->rows[r];
    UNROLL for (int j = 0; j < NB; j++)
        UNROLL for (int r = 0; r < MR; r++) sum[r][j] = _mm512_loadu_si512(t->bias + S8_LANES * j);
    for (int32_t s = 0; s < t->segment_count; s++) {
        ptrdiff_t at = t->segments[s];
        const ptrdiff_t end = at + t->length;
        do {
            __m512i w[S8_BLOCKS];
            UNROLL for (int j = 0; j < NB; j++) w[j] = _mm512_load_si512(weights + j * stride);
            weights += 64;
            UNROLL for (int r = 0; r < MR; r++) {
                const __m512i a = edged_broadcast4(row[r] + at);
                UNROLL for (int j = 0; j < NB; j++) sum[r][j] = _mm512_dpbusd_epi32(sum[r][j], a, w[j]);
            }
            at += 4;
        } while (at < end);
    }
    if (!t->finish) {
        UNROLL for (int j = 0; j < NB; j++)
            UNROLL for (int r = 0; r < MR; r++) _mm512_store_si512(t->sums + (j * S8_ROWS + r) * S8_LANES, sum[r][j]);
        return;
    }
    if (!t->held) s8_tile_finish(t, sum, MR, NB, 0);
    else s8_tile_finish(t, sum, MR, NB, 1);
}

#define S8_TILE(MR, NB) \
    static void s8_tile_##MR##x##NB(const s8_tile *t) { s8_tile_body(t, MR, NB); }
#define S8_TILES(MR) S8_TILE(MR, 1) S8_TILE(MR, 2) S8_TILE(MR, 3)
S8_TILES(1) S8_TILES(2) S8_TILES(3) S8_TILES(4) S8_TILES(5) S8_TILES(6) S8_TILES(7) S8_TILES(8)
#undef S8_TILES
#undef S8_TILE

#define S8_ROW(MR) {s8_tile_##MR##x1, s8_tile_##MR##x2, s8_tile_##MR##x3}
static s8_tile_function *const S8_TILES[S8_ROWS][S8_BLOCKS] = {
    S8_ROW(1), S8_ROW(2), S8_ROW(3), S8_ROW(4), S8_ROW(5), S8_ROW(6), S8_ROW(7), S8_ROW(8)};
#undef S8_ROW

#endif
