/* Convolution of int8 activations, quantised as they came, to floats: portable C. Packed weights with NR = KR = 1 are the plain
 * [out_c][kernel_h * kernel_w * in_c]. */
#include "../abi.h"
#include "../fixedpoint.h"
#include "../params.h"
#include "window.h"

/* The sum over the taps of pixel (y, x) that lie inside the image, of (input - zero) * weight. */
static int32_t window_sum(const edged_conv_hybrid_params *p, const int8_t *image, const int8_t *w, int32_t zero, int32_t y, int32_t x) {
    int32_t sum = 0;
    for (int32_t ky = 0; ky < p->kernel_h; ky++) {
        const int32_t iy = y * p->stride_h - p->pad_top + ky * p->dilation_h;
        for (int32_t kx = 0; kx < p->kernel_w; kx++, w += p->in_c) {
            const int32_t ix = x * p->stride_w - p->pad_left + kx * p->dilation_w;
            if (iy < 0 || iy >= p->in_h || ix < 0 || ix >= p->in_w) continue;
            const int8_t *a = image + ((ptrdiff_t)iy * p->in_w + ix) * p->in_pitch + p->in_first;
            for (int32_t k = 0; k < p->in_c; k++) sum += (a[k] - zero) * w[k];
        }
    }
    return sum;
}

void conv_hybrid_1x1_scalar(const void *params, void *const *operands, const edged_task *task) {
    const edged_conv_hybrid_params *p = params;
    const int8_t *weights = operands[2];
    const float *scales = operands[4], *bias = operands[5], *image_scales = operands[6];
    const int32_t *image_zeros = operands[7];
    const int32_t depth = p->kernel_h * p->kernel_w * p->in_c;
    for (uint32_t unit = task->begin; unit < task->end; unit++) {
        const edged_band b = edged_band_of(unit, p->out_h, p->band, p->out_c, p->columns);
        const int8_t *image = (const int8_t *)operands[1] + (ptrdiff_t)b.image * p->in_h * p->in_w * p->in_pitch;
        for (int32_t y = b.row; y < b.row_end; y++)
            for (int32_t x = 0; x < p->out_w; x++) {
                const ptrdiff_t pixel = (((ptrdiff_t)b.image * p->out_h + y) * p->out_w + x) * p->out_pitch + p->out_first;
                float *out = (float *)operands[0] + pixel;
                for (int32_t n = b.channel; n < b.channel_end; n++) {
                    const int32_t sum = window_sum(p, image, weights + (ptrdiff_t)n * depth, image_zeros[b.image], y, x);
                    out[n] = edged_clamp_f32((float)sum * (image_scales[b.image] * scales[n]) + bias[n], p->act_min, p->act_max);
                }
            }
    }
}
