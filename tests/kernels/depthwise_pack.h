/* Packs depthwise int8 weights for a row of KR 4, as edged_backends/lower/depthwise.py does (depthwise/geometry.h states the form). */
#ifndef EDGED_DEPTHWISE_PACK_H
#define EDGED_DEPTHWISE_PACK_H

#include <stdlib.h>
#include <string.h>

#include "../../backends/kernels/depthwise/geometry.h"

typedef struct depthwise_s8 {
    edged_depthwise_s8_params p;
    const int8_t *weights;
    const int32_t *bias, *multiplier, *shift;
} depthwise_s8;

static inline int32_t depthwise_lanes(const edged_depthwise_s8_params *p) {
    return 16 * edged_dw_vectors(p->channels * p->multiplier);
}

static inline size_t depthwise_packed_bytes(const edged_depthwise_s8_params *p) {
    return (size_t)depthwise_lanes(p) * 4 * (size_t)(p->rows * p->groups * edged_dw_plan_of(p).taps_w * p->planes);
}

/* Byte i of tap (g, k) for output row r: a weight less the zero point. */
static inline int32_t depthwise_tap(const depthwise_s8 *d, int32_t r, int32_t g, int32_t k, int32_t i, int32_t c) {
    const edged_depthwise_s8_params *p = &d->p;
    const int32_t ky = p->quads ? 2 * g + i / 2 : 4 * g + i - r * p->stride_h, kx = p->quads ? 2 * k + i % 2 : k;
    if (ky < 0 || ky >= p->kernel_h || kx >= p->kernel_w) return 0;
    return d->weights[(ky * p->kernel_w + kx) * p->channels * p->multiplier + c] - p->weight_zero;
}

static inline void depthwise_pack(const depthwise_s8 *d, int8_t *to) {
    const edged_depthwise_s8_params *p = &d->p;
    const int32_t channels = p->channels * p->multiplier, wide = edged_dw_plan_of(p).taps_w;
    for (int32_t v = 0; v < edged_dw_vectors(channels); v++) {
        for (int32_t r = 0; r < p->rows; r++) {
            for (int32_t t = 0; t < p->groups * wide; t++) {
                for (int32_t l = 0; l < 64; l++) {
                    const int32_t w = depthwise_tap(d, r, t / wide, t % wide, l % 4, (v * 16 + l / 4) % channels);
                    to[l] = (int8_t)(p->planes == 1 ? w : w >> 1);
                    if (p->planes == 2) to[64 + l] = (int8_t)(w - (w >> 1));
                }
                to += 64 * p->planes;
            }
        }
    }
}

/* bias, multiplier, shift: depthwise_lanes() elements each. */
static inline void depthwise_pack_scales(const depthwise_s8 *d, int32_t *bias, int32_t *multiplier, int32_t *shift) {
    const edged_depthwise_s8_params *p = &d->p;
    const int32_t channels = p->channels * p->multiplier;
    for (int32_t l = 0; l < depthwise_lanes(p); l++) {
        const int32_t c = l % channels;
        int32_t sum = 0;
        for (int32_t k = 0; k < p->kernel_h * p->kernel_w; k++) sum += d->weights[k * channels + c] - p->weight_zero;
        bias[l] = d->bias[c] - (p->input_zero + 128) * sum;
        multiplier[l] = d->multiplier[c];
        shift[l] = d->shift[c];
    }
}

static inline size_t depthwise_scratch(const edged_depthwise_s8_params *p) {
    const edged_dw_plan plan = edged_dw_plan_of(p);
    const size_t row = ((size_t)p->in_w * (size_t)plan.channels + 63) / 64 * 64;
    return ((size_t)p->groups * (size_t)edged_dw_row_groups(&plan, p->block) * 4 + EDGED_DW_SLACK + 63) / 64 * 64 +
           row * (size_t)(p->multiplier == 1 ? 1 : 1 + 4 * p->groups);
}

/* ---- KR 2: s8_x86_avx2.c ---- */

static inline int32_t depthwise_pair_vectors(const edged_depthwise_s8_params *p) { return (p->channels + 15) / 16; }

static inline size_t depthwise_pair_bytes(const edged_depthwise_s8_params *p) {
    return (size_t)depthwise_pair_vectors(p) * (size_t)((p->kernel_h * p->kernel_w + 1) / 2) * 64;
}

/* Channel of lane l (0-15, in the order 0-3, 8-11, 4-7, 12-15) of vector v; the last one where there is none. */
static inline int32_t depthwise_pair_channel(const edged_depthwise_s8_params *p, int32_t v, int32_t l) {
    const int32_t first = 16 * v + 16 <= p->channels ? 16 * v : p->channels >= 16 ? p->channels - 16 : 0;
    const int32_t c = first + l % 4 + (l / 4 == 1 ? 8 : l / 4 == 2 ? 4 : l / 4 == 3 ? 12 : 0);
    return c < p->channels ? c : p->channels - 1;
}

static inline void depthwise_pack_pairs(const depthwise_s8 *d, int16_t *to, int32_t *bias, int32_t *multiplier, int32_t *shift) {
    const edged_depthwise_s8_params *p = &d->p;
    const int32_t taps = p->kernel_h * p->kernel_w;
    for (int32_t v = 0; v < depthwise_pair_vectors(p); v++) {
        for (int32_t k = 0; k < taps; k += 2) {
            for (int32_t i = 0; i < 32; i++) {
                const int32_t tap = k + i % 2, c = depthwise_pair_channel(p, v, i / 2);
                *to++ = (int16_t)(tap < taps ? d->weights[tap * p->channels + c] - p->weight_zero : 0);
            }
        }
        for (int32_t l = 0; l < 16; l++) {
            const int32_t c = depthwise_pair_channel(p, v, l);
            int32_t sum = 0;
            for (int32_t k = 0; k < taps; k++) sum += d->weights[k * p->channels + c] - p->weight_zero;
            bias[16 * v + l] = d->bias[c] - p->input_zero * sum;
            multiplier[16 * v + l] = d->multiplier[c];
            shift[16 * v + l] = d->shift[c];
        }
    }
}

/* rows, groups, planes and block, as the lowering chooses them. */
static inline void depthwise_choose(edged_depthwise_s8_params *p, int32_t limit) {
    const int single = p->stride_h == 1 && p->dilation_h == 1;
    p->quads = p->stride_h == 2 && p->stride_w == 2 && p->dilation_h == 1 && p->dilation_w == 1 && p->kernel_h > 1 && p->kernel_w > 1;
    p->rows = !single ? 1 : p->kernel_h == 3 ? 2 : p->kernel_h == 5 ? 4 : p->kernel_h == 2 || p->kernel_h == 7 ? 2 : 1;
    p->groups = p->quads ? (p->kernel_h + 1) / 2 : ((p->rows - 1) * p->stride_h + p->kernel_h + 3) / 4;
    p->planes = p->weight_zero == 0 ? 1 : 2;
    const int32_t channels = p->channels * p->multiplier;
    p->block = channels;
    const edged_dw_plan plan = edged_dw_plan_of(p);
    int32_t most = (p->quads ? limit / 2 * 3 : limit) / (4 * p->groups * plan.columns);
    if (channels % 16 != 0 || channels <= most) return;
    most = most >= 64 ? most / 64 * 64 : most / 16 * 16;
    p->block = most < 16 ? 16 : most;
}

/* f32: channels of a block (0 where the 3x3 way does not serve), and the scratch that it takes. */
static inline int32_t depthwise_block_f32(const edged_depthwise_f32_params *p) {
    const int32_t most = 32768 / (16 * (p->out_w + 2)) / 16 * 16;
    if (p->kernel_h != 3 || p->kernel_w != 3 || p->stride_h != 1 || p->stride_w != 1) return 0;
    if (p->dilation_h != 1 || p->dilation_w != 1 || p->multiplier != 1) return 0;
    return p->channels <= most ? p->channels : most < 16 ? 16 : most;
}

static inline size_t depthwise_scratch_f32(const edged_depthwise_f32_params *p) {
    return (size_t)(p->out_w + 2) * 16 * (size_t)((p->block + 15) / 16 * 16);
}

#endif
