/* What all convolutions on VNNI share: a unit's activations as input + 128 in scratch, and where each pixel's depth lies in them.
 * Scratch: scratch_s8 in edged_backends/lower/conv_shape.py. */
#ifndef EDGED_CONV_UNIT_VNNI_H
#define EDGED_CONV_UNIT_VNNI_H

#include "tile_s8_vnni.h"
#include "window.h"

#define ELEMENT int8_t
#define COPIED uint8_t
#define COPY(to, from, n) edged_copy_xor80_avx512(to, from, n)
#define FILL(to, n) edged_fill_avx512(to, n, zero)
#include "band_copy.inc"

typedef struct vnni_unit {
    const edged_conv_shape *shape;
    edged_band band;
    int32_t pixels;
    int32_t *rows, *segments, *row_sums;
    int32_t *sums;
    uint8_t *copy;
    vnni_tile tile;
} vnni_unit;

static uint8_t *vnni_take(uint8_t **scratch, size_t bytes) {
    uint8_t *at = *scratch;
    *scratch = at + (bytes + 63) / 64 * 64;
    return at;
}

/* Divides the thread's scratch, in the order that scratch_s8 adds up. */
static void vnni_lay_out(vnni_unit *u, void *memory) {
    const edged_conv_shape *s = u->shape;
    uint8_t *scratch = memory;
    const size_t most = (size_t)(s->band * s->out_w);
    u->sums = (int32_t *)(void *)vnni_take(&scratch, sizeof(int32_t) * VNNI_BLOCKS * VNNI_ROWS * VNNI_LANES);
    u->segments = (int32_t *)(void *)vnni_take(&scratch, sizeof(int32_t) * (size_t)s->segments);
    u->rows = (int32_t *)(void *)vnni_take(&scratch, sizeof(int32_t) * most);
    u->row_sums = (int32_t *)(void *)vnni_take(&scratch, sizeof(int32_t) * most);
    u->copy = scratch;
}

/* Copies the activations of image `image`, whose zero point is `zero`, and lists where each pixel's depth begins. */
static void vnni_read_input(vnni_unit *u, const int8_t *image, int32_t zero) {
    const edged_conv_shape *s = u->shape;
    edged_window w;
    if (s->segments == 1) {
        w = edged_gathered_window(s);
        gather_band(s, image, &u->band, u->copy, zero + 128);
    } else {
        w = edged_band_window(s);
        copy_band(s, image, &u->band, u->copy, zero + 128);
    }
    for (int32_t i = 0; i < s->segments; i++) u->segments[i] = (int32_t)edged_segment_offset(s, &w, i);
    const int32_t across = (int32_t)w.step_x, down = (int32_t)w.step_y;
    int32_t *row = u->rows;
    for (int32_t y = 0; y < u->band.row_end - u->band.row; y++)
        for (int32_t x = 0; x < s->out_w; x++) *row++ = y * down + x * across;
}

/* Unit `index` with its activations read; tile.weights, stride, bias and finish are still to be set. */
static inline vnni_unit vnni_unit_of(const edged_conv_shape *s, uint32_t index, void *scratch) {
    vnni_unit u = {.shape = s, .band = edged_band_of(index, s->out_h, s->band, s->out_c, s->columns)};
    u.pixels = (u.band.row_end - u.band.row) * s->out_w;
    vnni_lay_out(&u, scratch);
    u.tile = (vnni_tile){.base = u.copy, .rows = u.rows, .segments = u.segments, .segment_count = s->segments, .sums = u.sums};
    u.tile.length = edged_depth(s) / s->segments;
    u.tile.stride = (u.tile.length + 3) / 4 * 4 * s->segments * VNNI_LANES;
    return u;
}

/* A loop over groups of at most VNNI_BLOCKS blocks of the unit's channels: `count` blocks from `channel` on. */
#define VNNI_EACH_GROUP(u, channel, count)                                                                              \
    for (int32_t channel = (u).band.channel, left = ((u).band.channel_end - channel + VNNI_LANES - 1) / VNNI_LANES,     \
                 groups = (left + VNNI_BLOCKS - 1) / VNNI_BLOCKS, count = groups ? (left + groups - 1) / groups : 0;    \
         groups > 0; channel += count * VNNI_LANES, left -= count, groups--, count = groups ? (left + groups - 1) / groups : 0)

#endif
