/* int8 convolution, portable C: one pixel's window is gathered into scratch, then one dot product per channel.
 * Packed weights with NR = KR = 1 are the plain [out_c][kernel_h * kernel_w * in_c]. */
#include <string.h>

#include "../abi.h"
#include "../fixedpoint.h"
#include "../params.h"
#include "window.h"

/* The window of output pixel (y, x) as kernel_h * kernel_w * in_c contiguous elements; outside the image lies the zero point. */
static void gather(const edged_conv_s8_params *p, const int8_t *image, int32_t y, int32_t x, int8_t *window) {
    for (int32_t ky = 0; ky < p->kernel_h; ky++) {
        const int32_t iy = y * p->stride_h - p->pad_top + ky * p->dilation_h;
        for (int32_t kx = 0; kx < p->kernel_w; kx++, window += p->in_c) {
            const int32_t ix = x * p->stride_w - p->pad_left + kx * p->dilation_w;
            if (iy < 0 || iy >= p->in_h || ix < 0 || ix >= p->in_w)
                memset(window, p->input_zero, (size_t)p->in_c);
            else
                memcpy(window, image + ((ptrdiff_t)iy * p->in_w + ix) * p->in_pitch + p->in_first, (size_t)p->in_c);
        }
    }
}

static int32_t dot(const int8_t *a, const int8_t *w, int32_t depth, int32_t weight_zero, int32_t bias) {
    uint32_t sum = (uint32_t)bias;
    for (int32_t k = 0; k < depth; k++) sum += (uint32_t)((int32_t)a[k] * ((int32_t)w[k] - weight_zero));
    return (int32_t)sum;
}

/* TFLite's ADD of a finished output and the residual. */
static int32_t add_residual(const edged_conv_s8_params *p, int32_t v, int32_t r) {
    const int32_t a = edged_requantise(edged_shift_left(v - p->output_zero, 20), p->mult1, p->shift1);
    const int32_t b = edged_requantise(edged_shift_left(r - p->zero2, 20), p->mult2, p->shift2);
    const int32_t sum = edged_requantise(edged_wrapping_add(a, b), p->mult3, p->shift3);
    return edged_clamp(edged_wrapping_add(sum, p->zero3), p->add_min, p->add_max);
}

void conv_s8_1x1_scalar(const void *params, void *const *operands, const edged_task *task) {
    const edged_conv_s8_params *p = params;
    const int8_t *weights = operands[2];
    const int32_t *bias = operands[3], *multiplier = operands[4], *shift = operands[5];
    const int8_t *residual = operands[6];
    const int32_t depth = p->kernel_h * p->kernel_w * p->in_c;
    for (uint32_t unit = task->begin; unit < task->end; unit++) {
        const edged_band b = edged_band_of(unit, p->out_h, p->band, p->out_c, p->columns);
        const int8_t *image = (const int8_t *)operands[1] + (ptrdiff_t)b.image * p->in_h * p->in_w * p->in_pitch;
        for (int32_t y = b.row; y < b.row_end; y++)
            for (int32_t x = 0; x < p->out_w; x++) {
                const ptrdiff_t pixel = (((ptrdiff_t)b.image * p->out_h + y) * p->out_w + x) * p->out_pitch + p->out_first;
                int8_t *out = (int8_t *)operands[0] + pixel;
                gather(p, image, y, x, task->scratch);
                for (int32_t n = b.channel; n < b.channel_end; n++) {
                    int32_t v = dot(task->scratch, weights + (ptrdiff_t)n * depth, depth, p->weight_zero, bias[n]);
                    v = edged_wrapping_add(edged_requantise(v, multiplier[n], shift[n]), p->output_zero);
                    v = edged_clamp(v, p->act_min, p->act_max);
                    out[n] = (int8_t)(residual ? add_residual(p, v, residual[pixel + n]) : v);
                }
            }
    }
}
