/* float convolution on AVX-512: tiles of 8 pixels x 48 channels. Windows that stay inside the image are read where they lie, others from a copy
 * of the band with the padding written out (or gathered, when segments == 1 and the window is larger than a pixel). */
#include <string.h>

#include "../abi.h"
#include "tile_f32_avx512.h"
#include "window.h"

#define ELEMENT float
#define COPIED float
#define COPY(to, from, n) memcpy(to, from, (size_t)(n) * sizeof(float))
#define FILL(to, n) memset(to, zero, (size_t)(n) * sizeof(float))
#include "band_copy.inc"

typedef struct unit {
    const edged_conv_f32_params *p;
    const edged_conv_shape *shape;
    edged_band band;
    edged_window window;
    int32_t *segments;
    const float *base;
    const float *weights, *bias, *residual;
    float *out;
    int32_t pixels;
} unit;

/* The element offset of `pixel` (counted from the band's first) from u->base. */
static ptrdiff_t pixel_offset(const unit *u, int32_t pixel) {
    return u->window.base + pixel / u->p->out_w * u->window.step_y + pixel % u->p->out_w * u->window.step_x;
}

static int windows_are_pixels(const edged_conv_shape *s) { return s->kernel_h * s->kernel_w == 1; }

static void read_input(unit *u, const float *image, void *scratch) {
    const edged_conv_shape *s = u->shape;
    float *copy = (float *)(void *)((uint8_t *)scratch + ((size_t)s->segments * 4 + 63) / 64 * 64);
    u->segments = scratch;
    u->base = copy;
    if (edged_inside(s) && (s->segments > 1 || windows_are_pixels(s))) {
        u->window = edged_direct_window(s, &u->band);
        u->base = image;
    } else if (s->segments == 1) {
        u->window = edged_gathered_window(s);
        gather_band(s, image, &u->band, copy, 0);
    } else {
        u->window = edged_band_window(s);
        copy_band(s, image, &u->band, copy, 0);
    }
    for (int32_t i = 0; i < s->segments; i++) u->segments[i] = (int32_t)edged_segment_offset(s, &u->window, i);
}

static void multiply(const unit *u, int32_t channel, int32_t blocks) {
    const edged_conv_f32_params *p = u->p;
    const ptrdiff_t depth = edged_depth(u->shape), stride = depth * F32_LANES;
    f32_tile t = {.segments = u->segments, .segment_count = p->segments, .length = depth / p->segments, .stride = stride,
                  .weights = u->weights + channel / F32_LANES * stride, .bias = u->bias + channel, .pitch = p->out_pitch,
                  .tail = f32_tail(u->band.channel_end - channel - (blocks - 1) * F32_LANES), .act_min = p->act_min, .act_max = p->act_max};
    const int32_t tiles = (u->pixels + F32_ROWS - 1) / F32_ROWS;
    const int32_t least = u->pixels / tiles;
    int32_t larger = u->pixels % tiles;    /* as many tiles have one row more */
    for (int32_t begin = 0, end; begin < u->pixels; begin = end, larger--) {
        end = begin + least + (larger > 0);
        for (int32_t r = begin; r < end; r++) t.row[r - begin] = u->base + pixel_offset(u, r);
        t.out = u->out + begin * p->out_pitch + channel;
        t.residual = u->residual ? u->residual + begin * p->out_pitch + channel : NULL;
        F32_TILES[end - begin - 1][blocks - 1](&t);
    }
}

void conv_f32_8x48_avx512(const void *params, void *const *operands, const edged_task *task) {
    const edged_conv_f32_params *p = params;
    for (uint32_t index = task->begin; index < task->end; index++) {
        unit u = {.p = p, .shape = params, .weights = operands[2], .bias = operands[3],
                  .band = edged_band_of(index, p->out_h, p->band, p->out_c, p->columns)};
        const ptrdiff_t first = ((ptrdiff_t)u.band.image * p->out_h + u.band.row) * p->out_w * p->out_pitch + p->out_first;
        u.pixels = (u.band.row_end - u.band.row) * p->out_w;
        u.out = (float *)operands[0] + first;
        u.residual = operands[4] ? (const float *)operands[4] + first : NULL;
        read_input(&u, (const float *)operands[1] + (ptrdiff_t)u.band.image * p->in_h * p->in_w * p->in_pitch, task->scratch);
        int32_t channel = u.band.channel, blocks = (u.band.channel_end - channel + F32_LANES - 1) / F32_LANES;
        for (int32_t groups = (blocks + F32_BLOCKS - 1) / F32_BLOCKS; groups > 0; groups--) {
            const int32_t n = (blocks + groups - 1) / groups;
            multiply(&u, channel, n);
            channel += n * F32_LANES;
            blocks -= n;
        }
    }
}
