/* int8 convolution and fully connected layers for Helium: one pixel's window with four channels at a time. Packed weights with NR = KR = 1 are
 * the plain [out_c][depth]. Scratch: the window, where it has to be gathered. */
#include <string.h>

#include "../abi.h"
#include "../params.h"
#include "../simd_mve.h"
#include "window.h"

/* The window of output pixel (y, x); outside the image lies the zero point. */
static const int8_t *window_of(const edged_conv_s8_params *p, const int8_t *image, int32_t y, int32_t x, int8_t *room) {
    if (p->kernel_h == 1 && p->kernel_w == 1 && p->pad_top == 0 && p->pad_left == 0) {
        return image + ((ptrdiff_t)y * p->stride_h * p->in_w + (ptrdiff_t)x * p->stride_w) * p->in_pitch + p->in_first;
    }
    int8_t *to = room;
    for (int32_t ky = 0; ky < p->kernel_h; ky++) {
        const int32_t iy = y * p->stride_h - p->pad_top + ky * p->dilation_h;
        for (int32_t kx = 0; kx < p->kernel_w; kx++, to += p->in_c) {
            const int32_t ix = x * p->stride_w - p->pad_left + kx * p->dilation_w;
            if (iy < 0 || iy >= p->in_h || ix < 0 || ix >= p->in_w)
                memset(to, p->input_zero, (size_t)p->in_c);
            else
                memcpy(to, image + ((ptrdiff_t)iy * p->in_w + ix) * p->in_pitch + p->in_first, (size_t)p->in_c);
        }
    }
    return room;
}

/* Four channels from n on (`count` of them are there) of a vector `a`: bias, products, requantisation, clamp. */
static int32x4_t four_channels(const int8_t *a, int32_t depth, void *const *operands, int32_t n, mve_pred16_t there, int32_t count,
                               int32_t offset) {
    const int8_t *w = (const int8_t *)operands[2] + (ptrdiff_t)n * depth;
    int32_t sums[EDGED_ROWS];
    if (count == EDGED_ROWS) {
        edged_four_rows(a, w, depth, depth, sums);
    } else {
        for (int32_t i = 0; i < count; i++) {
            int32_t same[EDGED_ROWS];
            edged_four_rows(a, w + (ptrdiff_t)i * depth, 0, depth, same);
            sums[i] = same[0];
        }
        for (int32_t i = count; i < EDGED_ROWS; i++) sums[i] = 0;
    }
    const int32x4_t bias = vldrwq_z_s32((const int32_t *)operands[3] + n, there);
    const int32x4_t multiplier = vldrwq_z_s32((const int32_t *)operands[4] + n, there);
    const int32x4_t shift = vldrbq_z_s32((const int8_t *)operands[5] + n, there);
    return edged_requantise_4(vsubq_n_s32(vaddq_s32(vldrwq_s32(sums), bias), offset), multiplier, shift);
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
                    const int32_t left = b.channel_end - n, count = left < EDGED_ROWS ? left : EDGED_ROWS;
                    const mve_pred16_t there = vctp32q((uint32_t)left);
                    int32x4_t v = vaddq_n_s32(four_channels(a, depth, operands, n, there, count, offset), p->output_zero);
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
            const int32_t count = end - n < EDGED_ROWS ? end - n : EDGED_ROWS;
            const mve_pred16_t there = vctp32q((uint32_t)count);
            const int32x4_t v = vaddq_n_s32(four_channels(a, p->depth, operands, n, there, count, offset), p->output_zero);
            vstrbq_p_s32(out + n, edged_clamp_4(v, p->act_min, p->act_max), there);
        }
    }
}
