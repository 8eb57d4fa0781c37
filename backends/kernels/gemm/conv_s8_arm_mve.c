/* int8 convolution and fully connected layers for Helium: one pixel's window with four channels at a time. Packed weights with NR = KR = 1 are
 * the plain [out_c][depth]. Scratch: the window, where it has to be gathered. */
#include "../abi.h"
#include "../params.h"
#include "../simd_mve.h"
#include "window.h"

/* The window of output pixel (y, x); outside the image lies the zero point. */
static const int8_t *window_of(const edged_conv_s8_params *p, const int8_t *image, int32_t y, int32_t x, int8_t *room) {
    const int32_t top = y * p->stride_h - p->pad_top, left = x * p->stride_w - p->pad_left;
    const int8_t *at = image + ((ptrdiff_t)top * p->in_w + left) * p->in_pitch + p->in_first;
    if (p->kernel_h == 1 && p->kernel_w == 1 && p->pad_top == 0 && p->pad_left == 0) return at;
    const ptrdiff_t tap = (ptrdiff_t)p->dilation_w * p->in_pitch, line = (ptrdiff_t)p->dilation_h * p->in_w * p->in_pitch;
    const int32_t joined = tap == p->in_c && left >= 0 && left + p->kernel_w <= p->in_w; /* a row of taps is one run */
    int8_t *to = room;
    for (int32_t ky = 0; ky < p->kernel_h; ky++, at += line) {
        const int32_t iy = top + ky * p->dilation_h, there = iy >= 0 && iy < p->in_h;
        const int8_t *from = at;
        for (int32_t kx = 0, run = joined && there ? p->kernel_w : 1; kx < p->kernel_w; kx += run, from += tap) {
            const int32_t ix = left + kx * p->dilation_w, bytes = run * p->in_c;
            if (there && ix >= 0 && ix < p->in_w)
                edged_copy(to, from, bytes);
            else
                edged_fill(to, (int8_t)p->input_zero, bytes);
            to += bytes;
        }
    }
    return room;
}

/* Four channels from n on (`count` of them are there) of a vector `a`: bias, products, requantisation, clamp. */
static inline int32x4_t four_channels(const int8_t *a, int32_t depth, void *const *operands, int32_t n, mve_pred16_t there, int32_t count, int32_t offset) {
    const int8_t *w = (const int8_t *)operands[2] + (ptrdiff_t)n * depth;
    int32x4_t sums;
    if (count >= EDGED_ROWS) {
        sums = edged_four_rows(a, w, depth, depth);
    } else {
        int32_t each[EDGED_ROWS] = {0};
        for (int32_t i = 0; i < count; i++) each[i] = vgetq_lane_s32(edged_four_rows(a, w + (ptrdiff_t)i * depth, 0, depth), 0);
        sums = vldrwq_s32(each);
    }
    const int32x4_t bias = vldrwq_z_s32((const int32_t *)operands[3] + n, there);
    const int32x4_t multiplier = vldrwq_z_s32((const int32_t *)operands[4] + n, there);
    const int32x4_t shift = vldrbq_z_s32((const int8_t *)operands[5] + n, there);
    return edged_requantise_4(vsubq_n_s32(vaddq_s32(sums, bias), offset), multiplier, shift);
}

/* TFLite's ADD of finished outputs and the residual. */
static int32x4_t add_residual(const edged_conv_s8_params *p, int32x4_t v, int32x4_t r) {
    const int32x4_t a = edged_requantise_4(vshlq_n_s32(vsubq_n_s32(v, p->output_zero), 20), vdupq_n_s32(p->mult1), vdupq_n_s32(p->shift1));
    const int32x4_t b = edged_requantise_4(vshlq_n_s32(vsubq_n_s32(r, p->zero2), 20), vdupq_n_s32(p->mult2), vdupq_n_s32(p->shift2));
    const int32x4_t sum = edged_requantise_4(vaddq_s32(a, b), vdupq_n_s32(p->mult3), vdupq_n_s32(p->shift3));
    return edged_clamp_4(vaddq_n_s32(sum, p->zero3), p->add_min, p->add_max);
}

void conv_s8_1x4_mve(const void *params, void *const *operands, const edged_task *task) {
    const edged_conv_s8_params *p = params;
    const int8_t *residual = operands[6];
    const int32_t depth = p->kernel_h * p->kernel_w * p->in_c;
    for (uint32_t unit = task->begin; unit < task->end; unit++) {
        const edged_band b = edged_band_of(unit, p->out_h, p->band, p->out_c, p->columns);
        const int8_t *image = (const int8_t *)operands[1] + (ptrdiff_t)b.image * p->in_h * p->in_w * p->in_pitch;
        for (int32_t y = b.row; y < b.row_end; y++)
            for (int32_t x = 0; x < p->out_w; x++) {
                const ptrdiff_t pixel = (((ptrdiff_t)b.image * p->out_h + y) * p->out_w + x) * p->out_pitch + p->out_first;
                int8_t *out = (int8_t *)operands[0] + pixel;
                const int8_t *a = window_of(p, image, y, x, task->scratch);
                const int32_t offset = p->weight_zero ? p->weight_zero * edged_sum(a, depth) : 0;
                for (int32_t n = b.channel; n < b.channel_end; n += EDGED_ROWS) {
                    const int32_t left = b.channel_end - n;
                    const mve_pred16_t there = vctp32q((uint32_t)left);
                    int32x4_t v = vaddq_n_s32(four_channels(a, depth, operands, n, there, left, offset), p->output_zero);
                    v = edged_clamp_4(v, p->act_min, p->act_max);
                    if (residual) v = add_residual(p, v, vldrbq_z_s32(residual + pixel + n, there));
                    vstrbq_p_s32(out + n, v, there);
                }
            }
    }
}

void fc_s8_1x4_mve(const void *params, void *const *operands, const edged_task *task) {
    const edged_fc_s8_params *p = params;
    const int32_t last = (int32_t)task->end * p->columns, end = last < p->out_c ? last : p->out_c;
    for (int32_t m = 0; m < p->rows; m++) {
        const int8_t *a = (const int8_t *)operands[1] + (ptrdiff_t)m * p->depth;
        int8_t *out = (int8_t *)operands[0] + (ptrdiff_t)m * p->out_c;
        const int32_t offset = p->weight_zero ? p->weight_zero * edged_sum(a, p->depth) : 0;
        for (int32_t n = (int32_t)task->begin * p->columns; n < end; n += EDGED_ROWS) {
            const mve_pred16_t there = vctp32q((uint32_t)(end - n));
            const int32x4_t v = vaddq_n_s32(four_channels(a, p->depth, operands, n, there, end - n, offset), p->output_zero);
            vstrbq_p_s32(out + n, edged_clamp_4(v, p->act_min, p->act_max), there);
        }
    }
}
