/* Winograd's minimal filtering for 3x3 windows of stride 1, F(2x2) and F(4x4): the matrices, and which tiles a unit has. C99.
 *
 * An output tile of m x m pixels comes from (m + 2) x (m + 2) input pixels d: A' [(G g G') * (B' d B)] A, with * elementwise and
 * summed over input channels, which makes one product of matrices for each of the (m + 2)^2 positions. Source: Lavin and Gray,
 * "Fast Algorithms for Convolutional Neural Networks" (2015), interpolation points 0, 1, -1 (, 2, -2). Weights arrive as G g G'.
 */
#ifndef EDGED_GEMM_WINOGRAD_H
#define EDGED_GEMM_WINOGRAD_H

#include <stddef.h>
#include <stdint.h>

#include "../params.h"

enum { WINOGRAD_MOST = 6 };

/* The tiles of one unit: rows of tiles row..row_end of one image, `across` tiles each. */
typedef struct winograd_unit {
    int32_t image, row, row_end, across, tiles;
} winograd_unit;

static inline winograd_unit winograd_unit_of(const edged_winograd_f32_params *p, uint32_t index) {
    const int32_t down = (p->out_h + p->tile - 1) / p->tile;
    const int32_t bands = (down + p->band - 1) / p->band;
    winograd_unit u;
    u.image = (int32_t)index / bands;
    u.row = (int32_t)index % bands * p->band;
    u.row_end = u.row + p->band < down ? u.row + p->band : down;
    u.across = (p->out_w + p->tile - 1) / p->tile;
    u.tiles = (u.row_end - u.row) * u.across;
    return u;
}

/* Floats from one half of the scratch to the next: [positions][tiles of a full band][channels] of inputs, then the same of
 * products. */
static inline ptrdiff_t winograd_inputs(const edged_winograd_f32_params *p) {
    const ptrdiff_t side = p->tile + 2, across = (p->out_w + p->tile - 1) / p->tile;
    return (side * side * p->band * across * p->in_c + 15) / 16 * 16;
}

#endif
