/* int8 convolution on AVX-512 VNNI. A unit copies the input rows that it needs as input + 128 (the unsigned operand of vpdpbusd), with padding written out or
 * each window in one run, and then walks channel blocks (outer, so that their weights stay in L1) and rows of pixels.
 * Scratch: edged_conv_s8_scratch. */
#include <string.h>

#include "../abi.h"
#include "finish_s8_avx512.h"
#include "tile_s8_vnni.h"
#include "window.h"

#define ELEMENT int8_t
#define COPIED uint8_t
#define COPY(to, from, n) edged_copy_xor80_avx512(to, from, n)
#define FILL(to, n) edged_fill_avx512(to, n, zero)
#include "band_copy.inc"

typedef struct unit {
    const edged_conv_s8_params *p;
    const edged_conv_shape *shape;
    edged_band band;
    int32_t pixels;
    int32_t *rows, *segments, *row_sums;
    int32_t *sums;
    vnni_tile tile;
    finish_s8 finish;
} unit;

static uint8_t *take(uint8_t **scratch, size_t bytes) {
    uint8_t *at = *scratch;
    *scratch = at + (bytes + 63) / 64 * 64;
    return at;
}

/* Divides the thread's scratch, in the order that edged_conv_s8_scratch adds up. */
static void lay_out(unit *u, void *memory) {
    const edged_conv_shape *s = u->shape;
    uint8_t *scratch = memory;
    const int32_t most = s->band * s->out_w;
    u->sums = (int32_t *)(void *)take(&scratch, sizeof(int32_t) * VNNI_BLOCKS * VNNI_ROWS * VNNI_LANES);
    u->segments = (int32_t *)(void *)take(&scratch, sizeof(int32_t) * (size_t)s->segments);
    u->rows = (int32_t *)(void *)take(&scratch, sizeof(int32_t) * (size_t)most);
    u->row_sums = (int32_t *)(void *)take(&scratch, sizeof(int32_t) * (size_t)most);
    u->tile.base = scratch;
    u->tile.rows = u->rows;
    u->tile.segments = u->segments;
    u->tile.segment_count = s->segments;
    u->tile.length = edged_depth(s) / s->segments;
    u->tile.sums = u->sums;
}

/* Copies the activations and lists where each pixel's depth begins. */
static void read_input(unit *u, const int8_t *image) {
    const edged_conv_shape *s = u->shape;
    uint8_t *copy = (uint8_t *)(uintptr_t)u->tile.base;
    const int zero = u->p->input_zero + 128;
    edged_window w;
    if (s->segments == 1) {
        w = edged_gathered_window(s);
        gather_band(s, image, &u->band, copy, zero);
    } else {
        w = edged_band_window(s);
        copy_band(s, image, &u->band, copy, zero);
    }
    for (int32_t i = 0; i < s->segments; i++) u->segments[i] = (int32_t)edged_segment_offset(s, &w, i);
    int32_t *row = u->rows;
    for (int32_t y = 0; y < u->band.row_end - u->band.row; y++)
        for (int32_t x = 0; x < s->out_w; x++) *row++ = (int32_t)(y * w.step_y + x * w.step_x);
}

/* What the outputs of `blocks` blocks of channels from `channel` on need. */
static void set_finish(const unit *u, finish_s8 *f, int32_t channel, int32_t blocks) {
    const edged_conv_s8_params *p = u->p;
    const int add = u->finish.add != NULL;
    for (int32_t j = 0; j < blocks; j++) {
        const int32_t n = channel + j * VNNI_LANES;
        f[j] = u->finish;
        finish_s8_set(&f[j], u->finish.multiplier + n, u->finish.shift + n, u->band.channel_end - n, add ? p->zero3 : p->output_zero,
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
        if (block.weight_zero) block.row_sum = u->row_sums + begin;
        if (block.add) block.residual += begin * block.pitch + channel + j * VNNI_LANES;
        finish_s8_block(&block, u->sums + j * VNNI_ROWS * VNNI_LANES);
    }
}

/* All pixels times `blocks` blocks of channels from `channel` on. */
static void multiply(unit *u, int32_t channel, int32_t blocks) {
    const int32_t tiles = (u->pixels + VNNI_ROWS - 1) / VNNI_ROWS;
    const int quick = !u->finish.exact && !u->finish.add && !u->finish.weight_zero;
    finish_s8 f[VNNI_BLOCKS];
    set_finish(u, f, channel, blocks);
    u->tile.finish = quick ? f : NULL;
    const int32_t least = u->pixels / tiles;
    int32_t larger = u->pixels % tiles;    /* as many tiles have one row more */
    for (int32_t begin = 0, rows; begin < u->pixels; begin += rows, larger--) {
        rows = least + (larger > 0);
        u->tile.rows = u->rows + begin;
        u->tile.at = begin * u->finish.pitch;
        VNNI_TILES[rows - 1][blocks - 1](&u->tile);
        if (!quick) finish_tile(u, f, channel, blocks, begin, rows);
    }
}

/* Sums of each pixel's activations, by the block of ones that stands behind the packed weights. */
static void sum_rows(unit *u, const int8_t *ones, const int32_t *zeros) {
    u->tile.finish = NULL;
    u->tile.weights = ones;
    u->tile.bias = zeros;
    for (int32_t begin = 0; begin < u->pixels; begin += VNNI_ROWS) {
        const int32_t rows = u->pixels - begin < VNNI_ROWS ? u->pixels - begin : VNNI_ROWS;
        u->tile.rows = u->rows + begin;
        VNNI_TILES[rows - 1][0](&u->tile);
        for (int32_t r = 0; r < rows; r++) u->row_sums[begin + r] = u->sums[r * VNNI_LANES];
    }
}

static void prepare_finish(unit *u, void *const *operands, ptrdiff_t pixel) {
    const edged_conv_s8_params *p = u->p;
    finish_s8 *f = &u->finish;
    *f = (finish_s8){.multiplier = operands[4], .shift = operands[5], .weight_zero = p->weight_zero, .pitch = p->out_pitch};
    f->out = (int8_t *)operands[0] + pixel * p->out_pitch + p->out_first;
    f->exact = finish_needs_exact(f->shift + u->band.channel, u->band.channel_end - u->band.channel);
    if (operands[6]) finish_s8_set_add(f, p, (const int8_t *)operands[6] + pixel * p->out_pitch + p->out_first);
}

void conv_s8_8x48_vnni(const void *params, void *const *operands, const edged_task *task) {
    static const int32_t ZEROS[VNNI_LANES];
    const edged_conv_s8_params *p = params;
    const int32_t all_blocks = (p->out_c + VNNI_LANES - 1) / VNNI_LANES;
    for (uint32_t index = task->begin; index < task->end; index++) {
        unit u = {.p = p, .shape = params, .band = edged_band_of(index, p->out_h, p->band, p->out_c, p->columns)};
        u.pixels = (u.band.row_end - u.band.row) * p->out_w;
        lay_out(&u, task->scratch);
        const int8_t *weights = operands[2];
        const ptrdiff_t stride = (u.tile.length + 3) / 4 * 4 * p->segments * VNNI_LANES;
        u.tile.stride = stride;
        read_input(&u, (const int8_t *)operands[1] + (ptrdiff_t)u.band.image * p->in_h * p->in_w * p->in_pitch);
        prepare_finish(&u, operands, ((ptrdiff_t)u.band.image * p->out_h + u.band.row) * p->out_w);
        if (p->weight_zero) sum_rows(&u, weights + all_blocks * stride, ZEROS);
        int32_t channel = u.band.channel, blocks = (u.band.channel_end - channel + VNNI_LANES - 1) / VNNI_LANES;
        for (int32_t groups = (blocks + VNNI_BLOCKS - 1) / VNNI_BLOCKS; groups > 0; groups--) {
            const int32_t n = (blocks + groups - 1) / groups;
            u.tile.weights = weights + channel / VNNI_LANES * stride;
            u.tile.bias = (const int32_t *)operands[3] + channel;
            multiply(&u, channel, n);
            channel += n * VNNI_LANES;
            blocks -= n;
        }
    }
}
