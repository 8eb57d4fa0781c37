/* The inner loops of int8 products on AMX: up to 16 rows of unsigned activations (input + 128), at equal distances, times up to 3
 * blocks of 16 channels. The packed weights are VNNI's: 16 groups of 4 of depth are one tile. */
#ifndef EDGED_TILE_S8_AMX_H
#define EDGED_TILE_S8_AMX_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "finish_s8_avx512.h"

/* S8_GROUP: depth of one packed group; S8_OFFSET: what activations are raised by. */
enum { S8_ROWS = 16, S8_BLOCKS = 3, S8_LANES = 16, S8_GROUP = 4, S8_OFFSET = 128, AMX_DEPTH = 64 };

typedef uint8_t s8_copied;

typedef struct s8_tile {
    const s8_copied *base;
    const int32_t *rows;         /* byte offset of each row's depth from base */
    const int32_t *segments;     /* byte offset of each segment from its row */
    int32_t segment_count;
    ptrdiff_t length;            /* bytes of a segment; read in groups of 4, the last one whole */
    const int8_t *weights;
    ptrdiff_t stride;            /* bytes from one block of channels to the next */
    const int32_t *bias;
    int32_t *sums;               /* [S8_BLOCKS][S8_ROWS][S8_LANES] */
    const finish_s8 *finish;     /* one per block; NULL: leave the sums to the caller */
    int held;                    /* see edged_scale_x16_do */
    ptrdiff_t at;                /* offset of the tile's first output from each block's finish.out */
    int32_t configured;          /* rows that the tile registers are set for; 0: not set */
} s8_tile;

/* Registers: 0..2 sums, 3 activations, 4 the same of the last part of a segment, 5 weights, 6 the last part's. */
typedef struct amx_config {
    uint8_t palette, start_row, reserved[14];
    uint16_t bytes[16];
    uint8_t rows[16];
} amx_config;

static void amx_configure(s8_tile *t, int32_t rows) {
    const int32_t part = (int32_t)((t->length % AMX_DEPTH + 3) / 4 * 4), last = part ? part : 4;
    amx_config c = {.palette = 1};
    for (int i = 0; i < 7; i++) c.bytes[i] = 64;
    for (int i = 0; i < 5; i++) c.rows[i] = (uint8_t)rows;
    c.bytes[4] = (uint16_t)last;
    c.rows[5] = 16;
    c.rows[6] = (uint8_t)(last / 4);
    _tile_loadconfig(&c);
    t->configured = rows;
}

/* One step of depth with registers A and W, for NB blocks. */
#define AMX_STEP(NB, A, W, from, weights)                                             \
    do {                                                                              \
        _tile_loadd(A, from, step);                                                   \
        _tile_loadd(W, weights, 64);                                                  \
        _tile_dpbusd(0, A, W);                                                        \
        if (NB > 1) { _tile_loadd(W, (weights) + stride, 64); _tile_dpbusd(1, A, W); } \
        if (NB > 2) { _tile_loadd(W, (weights) + 2 * stride, 64); _tile_dpbusd(2, A, W); } \
    } while (0)

#define AMX_PRODUCT(NB)                                                                                     \
    static void amx_product_##NB(const s8_tile *t, ptrdiff_t step) {                                        \
        const ptrdiff_t stride = t->stride, whole = t->length / AMX_DEPTH, part = t->length % AMX_DEPTH;    \
        const int8_t *weights = t->weights;                                                                 \
        _tile_loadd(0, t->bias, 0);                                                                         \
        if (NB > 1) _tile_loadd(1, t->bias + S8_LANES, 0);                                                  \
        if (NB > 2) _tile_loadd(2, t->bias + 2 * S8_LANES, 0);                                              \
        for (int32_t s = 0; s < t->segment_count; s++) {                                                    \
            const uint8_t *from = t->base + t->rows[0] + t->segments[s];                                    \
            for (ptrdiff_t i = 0; i < whole; i++, from += AMX_DEPTH, weights += AMX_DEPTH * S8_LANES)       \
                AMX_STEP(NB, 3, 5, from, weights);                                                          \
            if (part) {                                                                                     \
                AMX_STEP(NB, 4, 6, from, weights);                                                          \
                weights += (part + 3) / 4 * 4 * S8_LANES;                                                   \
            }                                                                                               \
        }                                                                                                   \
        _tile_stored(0, t->sums, 64);                                                                       \
        if (NB > 1) _tile_stored(1, t->sums + S8_ROWS * S8_LANES, 64);                                      \
        if (NB > 2) _tile_stored(2, t->sums + 2 * S8_ROWS * S8_LANES, 64);                                  \
    }
AMX_PRODUCT(1)
AMX_PRODUCT(2)
AMX_PRODUCT(3)
#undef AMX_PRODUCT
#undef AMX_STEP

static inline void amx_finish(const s8_tile *t, int32_t rows, int32_t blocks, const int held) {
    for (int32_t j = 0; j < blocks; j++) {
        const finish_s8 *f = t->finish + j;
        int32_t *sums = t->sums + j * S8_ROWS * S8_LANES;
        for (int32_t r = 0; r < rows; r += 4, sums += 4 * S8_LANES) {
            __m512i four[4];
            for (int i = 0; i < 4; i++) four[i] = _mm512_load_si512(sums + S8_LANES * i);
            if (rows - r >= 4) finish_quick(f, four, sums, t->at + r * f->pitch, 4, 1, held);
            else finish_quick(f, four, sums, t->at + r * f->pitch, rows - r, 1, held);
        }
    }
}

static void amx_tile(s8_tile *t, int32_t rows, int32_t blocks) {
    if (t->configured != rows) amx_configure(t, rows);
    const ptrdiff_t step = rows > 1 ? t->rows[1] - t->rows[0] : 64;
    if (blocks == 1) amx_product_1(t, step);
    else if (blocks == 2) amx_product_2(t, step);
    else amx_product_3(t, step);
    if (!t->finish) return;
    if (t->held) amx_finish(t, rows, blocks, 1);
    else amx_finish(t, rows, blocks, 0);
}

#endif
