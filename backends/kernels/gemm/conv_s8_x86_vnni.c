/* int8 convolution on AVX-512 VNNI. A unit copies the input rows that it needs as input + 128 (the unsigned operand of vpdpbusd), with padding
 * written out or each window in one run, and then walks channel blocks (outer, so that their weights stay in L1) and rows of pixels. */
#include "../abi.h"
#include "tile_s8_vnni.h"

#define COPY(to, from, n) edged_copy_xor80_avx512(to, from, n)
#define FILL(to, n) edged_fill_avx512(to, n, zero)
#include "conv_unit_s8.inc"

typedef struct unit {
    s8_unit v;
    const edged_conv_s8_params *p;
    finish_s8 finish;
} unit;

/* What the outputs of `blocks` blocks of channels from `channel` on need. */
static void set_finish(const unit *u, finish_s8 *f, int32_t channel, int32_t blocks) {
    const edged_conv_s8_params *p = u->p;
    const int add = u->finish.add != NULL;
    for (int32_t j = 0; j < blocks; j++) {
        const int32_t n = channel + j * S8_LANES;
        f[j] = u->finish;
        finish_s8_set(&f[j], u->finish.multiplier + n, u->finish.shift + n, u->v.band.channel_end - n, add ? p->zero3 : p->output_zero,
                      add ? p->add_min : p->act_min, add ? p->add_max : p->act_max);
        f[j].out += n;
    }
}

/* The sums of one tile to outputs, where they need more than the tile itself does. */
static void finish_tile(const unit *u, finish_s8 *f, int32_t channel, int32_t blocks, int32_t begin, int32_t rows) {
    for (int32_t j = 0; j < blocks; j++) {
        finish_s8 block = f[j];
        block.rows = rows;
        block.out += begin * block.pitch;
        if (block.weight_zero) block.row_sum = u->v.row_sums + begin;
        if (block.add) block.residual += begin * block.pitch + channel + j * S8_LANES;
        finish_s8_block(&block, u->v.sums + j * S8_ROWS * S8_LANES);
    }
}

/* All pixels times `blocks` blocks of channels from `channel` on. */
static void multiply(unit *u, int32_t channel, int32_t blocks) {
    const int32_t tiles = (u->v.pixels + S8_ROWS - 1) / S8_ROWS;
    const int quick = !u->finish.exact && !u->finish.add && !u->finish.weight_zero;
    int32_t doubts = 0;
    finish_s8 f[S8_BLOCKS];
    u->finish.doubts = &doubts;
    set_finish(u, f, channel, blocks);
    u->v.tile.finish = quick ? f : NULL;
    const int32_t least = u->v.pixels / tiles;
    int32_t larger = u->v.pixels % tiles;    /* as many tiles have one row more */
    for (int32_t begin = 0, rows, tile = 0; begin < u->v.pixels; begin += rows, larger--, tile++) {
        rows = least + (larger > 0);
        u->v.tile.rows = u->v.rows + begin;
        u->v.tile.at = begin * u->finish.pitch;
        S8_TILES[rows - 1][blocks - 1](&u->v.tile);
        if (!quick) finish_tile(u, f, channel, blocks, begin, rows);
        if (doubts > 4 + tile / 8) u->v.tile.held = 1;    /* not by chance */
    }
}

/* Sums of each pixel's activations, by the block of ones that stands behind the packed weights. */
static void sum_rows(unit *u, const int8_t *ones, const int32_t *zeros) {
    u->v.tile.finish = NULL;
    u->v.tile.weights = ones;
    u->v.tile.bias = zeros;
    for (int32_t begin = 0; begin < u->v.pixels; begin += S8_ROWS) {
        const int32_t rows = u->v.pixels - begin < S8_ROWS ? u->v.pixels - begin : S8_ROWS;
        u->v.tile.rows = u->v.rows + begin;
        S8_TILES[rows - 1][0](&u->v.tile);
        for (int32_t r = 0; r < rows; r++) u->v.row_sums[begin + r] = u->v.sums[r * S8_LANES];
    }
}

static void prepare_finish(unit *u, void *const *operands, ptrdiff_t pixel) {
    const edged_conv_s8_params *p = u->p;
    finish_s8 *f = &u->finish;
    *f = (finish_s8){.multiplier = operands[4], .shift = operands[5], .weight_zero = p->weight_zero, .pitch = p->out_pitch};
    f->out = (int8_t *)operands[0] + pixel * p->out_pitch + p->out_first;
    f->exact = p->may_wrap && finish_needs_exact(f->shift + u->v.band.channel, u->v.band.channel_end - u->v.band.channel);
    if (operands[6]) finish_s8_set_add(f, p, (const int8_t *)operands[6] + pixel * p->out_pitch + p->out_first);
}

void conv_s8_8x48_vnni(const void *params, void *const *operands, const edged_task *task) {
    static const int32_t ZEROS[S8_LANES];
    const edged_conv_s8_params *p = params;
    const int32_t all_blocks = (p->out_c + S8_LANES - 1) / S8_LANES;
    const int8_t *weights = operands[2];
    int held = 0;
    for (uint32_t index = task->begin; index < task->end; index++) {
        unit u = {.v = s8_unit_of(params, index, task->scratch), .p = p};
        u.v.tile.held = held;
        const edged_band *b = &u.v.band;
        const ptrdiff_t stride = u.v.tile.stride;
        s8_read_input(&u.v, (const int8_t *)operands[1] + (ptrdiff_t)b->image * p->in_h * p->in_w * p->in_pitch, p->input_zero);
        prepare_finish(&u, operands, ((ptrdiff_t)b->image * p->out_h + b->row) * p->out_w);
        if (p->weight_zero) sum_rows(&u, weights + all_blocks * stride, ZEROS);
        S8_EACH_GROUP(u.v, channel, count) {
            u.v.tile.weights = weights + channel / S8_LANES * stride;
            u.v.tile.bias = (const int32_t *)operands[3] + channel;
            multiply(&u, channel, count);
        }
        held = u.v.tile.held;
    }
}
