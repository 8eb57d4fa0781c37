/* float convolution, portable C, straight from the definition. Packed weights with NR = KR = 1 are the plain
 * [out_c][kernel_h * kernel_w * in_c]. */
#include "../abi.h"
#include "../fixedpoint.h"
#include "../params.h"
#include "window.h"

static float dot(const float *a, const float *w, int32_t depth, float sum) {
    for (int32_t k = 0; k < depth; k++) sum += a[k] * w[k];
    return sum;
}

/* One output element before bias and activation: the sum over the taps that lie inside the image. */
static float window(const edged_conv_f32_params *p, const float *image, const float *w, int32_t y, int32_t x) {
    float sum = 0.0f;
    for (int32_t ky = 0; ky < p->kernel_h; ky++) {
        const int32_t iy = y * p->stride_h - p->pad_top + ky * p->dilation_h;
        for (int32_t kx = 0; kx < p->kernel_w; kx++, w += p->in_c) {
            const int32_t ix = x * p->stride_w - p->pad_left + kx * p->dilation_w;
            if (iy < 0 || iy >= p->in_h || ix < 0 || ix >= p->in_w) continue;
            sum = dot(image + ((ptrdiff_t)iy * p->in_w + ix) * p->in_pitch + p->in_first, w, p->in_c, sum);
        }
    }
    return sum;
}

void conv_f32_1x1_scalar(const void *params, void *const *operands, const edged_task *task) {
    const edged_conv_f32_params *p = params;
    const float *weights = operands[2], *bias = operands[3], *residual = operands[4];
    const int32_t depth = p->kernel_h * p->kernel_w * p->in_c;
    for (uint32_t unit = task->begin; unit < task->end; unit++) {
        const edged_band b = edged_band_of(unit, p->out_h, p->band, p->out_c, p->columns);
        const float *image = (const float *)operands[1] + (ptrdiff_t)b.image * p->in_h * p->in_w * p->in_pitch;
        for (int32_t y = b.row; y < b.row_end; y++)
            for (int32_t x = 0; x < p->out_w; x++) {
                const ptrdiff_t pixel = (((ptrdiff_t)b.image * p->out_h + y) * p->out_w + x) * p->out_pitch + p->out_first;
                float *out = (float *)operands[0] + pixel;
                for (int32_t n = b.channel; n < b.channel_end; n++) {
                    float v = bias[n] + window(p, image, weights + (ptrdiff_t)n * depth, y, x);
                    if (residual) v += residual[pixel + n];
                    out[n] = edged_clamp_f32(v, p->act_min, p->act_max);
                }
            }
    }
}
