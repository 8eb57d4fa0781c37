/* int8 convolution on AMX, with the weights and the copies of VNNI's; layers too small for a tile are left to VNNI. */
#include "../abi.h"
#include "tile_s8_amx.h"

#define COPY(to, from, n) edged_copy_xor80_avx512(to, from, n)
#define FILL(to, n) edged_fill_avx512(to, n, zero)
#include "conv_unit_s8.inc"

/* Rows of a tile are at equal distances: they end with the output row, or anywhere where windows are gathered. */
static int32_t run_of(const s8_unit *u, int32_t begin, int32_t even) {
    const int32_t width = u->shape->out_w;
    if (u->shape->segments == 1) return even;
    const int32_t tiles = (width + S8_ROWS - 1) / S8_ROWS, share = (width + tiles - 1) / tiles;
    const int32_t left = width - begin % width;
    return left < share ? left : share;
}

#define TILE(t, rows, blocks) amx_tile(t, rows, blocks)
#define RUN(u, begin, even) run_of(u, begin, even)
#define CONV_S8 convolve
#include "conv_s8_raised.inc"

edged_kernel conv_s8_8x48_vnni;

/* A tile takes as long for few rows and little depth as for many. */
static int worth_it(const edged_conv_s8_params *p) {
    const int32_t rows = p->segments == 1 ? p->band * p->out_w : p->out_w;
    return rows >= 6 && p->kernel_h * p->kernel_w * p->in_c / p->segments >= 32;
}

void conv_s8_16x48_amx(const void *params, void *const *operands, const edged_task *task) {
    if (!worth_it(params)) {
        conv_s8_8x48_vnni(params, operands, task);
        return;
    }
    convolve(params, operands, task);
    _tile_release();
}
