/* How the windows of a convolution lie in memory: what a unit covers, and where the depth of each output pixel is read. C99.
 *
 * Three ways to read the depth (A) of a pixel, all the same to a tile: a base address, a step per output column and per output
 * row, and one offset per segment.
 *   direct    from the input itself, when no window leaves the image;
 *   band      from a copy of the input rows that a unit needs, with the padding written out;
 *   gathered  from a copy with each pixel's whole window in one run (im2col), when segments == 1.
 */
#ifndef EDGED_GEMM_WINDOW_H
#define EDGED_GEMM_WINDOW_H

#include <stddef.h>
#include <stdint.h>

#include "../params.h"

/* The fields that every convolution's parameters begin with, in their order. */
typedef struct edged_conv_shape {
    int32_t in_h, in_w, in_c, in_pitch, in_first, out_h, out_w, out_c, out_pitch, out_first;
    int32_t kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w, pad_top, pad_left;
    int32_t segments, band, columns;
} edged_conv_shape;

typedef struct edged_band {
    int32_t image;             /* index in the batch */
    int32_t row, row_end;      /* output rows */
    int32_t channel, channel_end;
} edged_band;

/* Steps and offsets are in elements. */
typedef struct edged_window {
    ptrdiff_t step_x, step_y;  /* from one output pixel to the next in its row, to the one below */
    ptrdiff_t tap_x, tap_y;    /* from one tap to the next, to the one below */
    ptrdiff_t base;
} edged_window;

/* Unit `unit` of a step: bands of output rows, blocks of channels innermost. */
static inline edged_band edged_band_of(uint32_t unit, int32_t out_h, int32_t band, int32_t out_c, int32_t columns) {
    const uint32_t blocks = (uint32_t)((out_c + columns - 1) / columns);
    const uint32_t bands = (uint32_t)((out_h + band - 1) / band);
    const uint32_t place = unit / blocks;
    edged_band b;
    b.image = (int32_t)(place / bands);
    b.row = (int32_t)(place % bands) * band;
    b.row_end = b.row + band < out_h ? b.row + band : out_h;
    b.channel = (int32_t)(unit % blocks) * columns;
    b.channel_end = b.channel + columns < out_c ? b.channel + columns : out_c;
    return b;
}

static inline int32_t edged_depth(const edged_conv_shape *p) { return p->kernel_h * p->kernel_w * p->in_c; }

/* Input columns between the first tap of a row's first window and the last tap of its last. */
static inline int32_t edged_band_width(const edged_conv_shape *p) {
    return (p->out_w - 1) * p->stride_w + (p->kernel_w - 1) * p->dilation_w + 1;
}

/* Input rows that `rows` output rows need. */
static inline int32_t edged_band_height(const edged_conv_shape *p, int32_t rows) {
    return (rows - 1) * p->stride_h + (p->kernel_h - 1) * p->dilation_h + 1;
}

/* No window leaves the image. */
static inline int edged_inside(const edged_conv_shape *p) {
    return p->pad_top == 0 && p->pad_left == 0 && edged_band_width(p) <= p->in_w && edged_band_height(p, p->out_h) <= p->in_h;
}

static inline edged_window edged_direct_window(const edged_conv_shape *p, const edged_band *b) {
    edged_window w;
    w.tap_x = (ptrdiff_t)p->dilation_w * p->in_pitch;
    w.tap_y = (ptrdiff_t)p->dilation_h * p->in_w * p->in_pitch;
    w.step_x = (ptrdiff_t)p->stride_w * p->in_pitch;
    w.step_y = (ptrdiff_t)p->stride_h * p->in_w * p->in_pitch;
    w.base = (ptrdiff_t)b->row * w.step_y + p->in_first;
    return w;
}

static inline edged_window edged_band_window(const edged_conv_shape *p) {
    edged_window w;
    w.tap_x = (ptrdiff_t)p->dilation_w * p->in_c;
    w.tap_y = (ptrdiff_t)p->dilation_h * edged_band_width(p) * p->in_c;
    w.step_x = (ptrdiff_t)p->stride_w * p->in_c;
    w.step_y = (ptrdiff_t)p->stride_h * edged_band_width(p) * p->in_c;
    w.base = 0;
    return w;
}

static inline edged_window edged_gathered_window(const edged_conv_shape *p) {
    edged_window w;
    w.tap_x = w.tap_y = 0;
    w.step_x = edged_depth(p);
    w.step_y = (ptrdiff_t)edged_depth(p) * p->out_w;
    w.base = 0;
    return w;
}

/* Offset of segment s from the pixel's address. */
static inline ptrdiff_t edged_segment_offset(const edged_conv_shape *p, const edged_window *w, int32_t s) {
    const int32_t across = p->segments == p->kernel_h * p->kernel_w ? p->kernel_w : 1;
    return (s / across) * w->tap_y + (s % across) * w->tap_x;
}

#endif
