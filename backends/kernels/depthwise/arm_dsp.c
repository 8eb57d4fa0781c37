/* Depthwise convolution for armv7e-m: four channels of a pixel at a time, one multiply-accumulate of 16 bits each. Weights are s8
 * [kernel_h][kernel_w][out_c]. Layers with a multiplier take the plain loop. */
#include "../fixedpoint.h"
#include "../simd_dsp.h"
#include "plain.h"

static int8_t finished(const edged_depthwise_s8_params *p, void *const *operands, int32_t sum, int32_t c) {
    const int32_t *multiplier = operands[4];
    const int8_t *shift = operands[5];
    return (int8_t)edged_finish_s8(sum, multiplier[c], shift[c], p->output_zero, p->act_min, p->act_max);
}

/* Channels c .. c + 3 of one pixel. `in` is the input at tap (y0, x0), `weights` the first of those taps. */
static void four_channels(const edged_depthwise_s8_params *p, void *const *operands, const edged_taps *taps, const int8_t *in,
                          const int8_t *weights, int32_t c, int8_t *out) {
    const int32_t *bias = (const int32_t *)operands[3] + c;
    const int16x2_t input_zero = edged_pair(-p->input_zero), weight_zero = edged_pair(-p->weight_zero);
    const ptrdiff_t tap = (ptrdiff_t)p->dilation_w * p->channels, line = (ptrdiff_t)p->dilation_h * p->in_w * p->channels;
    int32_t s0 = bias[0], s1 = bias[1], s2 = bias[2], s3 = bias[3];
    for (int32_t ky = taps->y0; ky < taps->y1; ky++) {
        const int8_t *from = in, *w = weights;
        for (int32_t kx = taps->x1 - taps->x0; kx > 0; kx--, from += tap, w += p->channels) {
            const uint32_t a = edged_load4(from), b = edged_load4(w);
            const int32_t x = (int32_t)edged_even_plus(input_zero, a), y = (int32_t)edged_odd_plus(input_zero, a);
            const int32_t u = (int32_t)edged_even_plus(weight_zero, b), v = (int32_t)edged_odd_plus(weight_zero, b);
            s0 = __smlabb(x, u, s0), s1 = __smlabb(y, v, s1);
            s2 = __smlatt(x, u, s2), s3 = __smlatt(y, v, s3);
        }
        in += line, weights += (ptrdiff_t)p->kernel_w * p->channels;
    }
    out[0] = finished(p, operands, s0, c), out[1] = finished(p, operands, s1, c + 1);
    out[2] = finished(p, operands, s2, c + 2), out[3] = finished(p, operands, s3, c + 3);
}

static int8_t one_channel(const edged_depthwise_s8_params *p, void *const *operands, const edged_taps *taps, const int8_t *image, int32_t c) {
    const int32_t out_c = p->channels * p->multiplier;
    int32_t sum = ((const int32_t *)operands[3])[c];
    for (int32_t ky = taps->y0; ky < taps->y1; ky++) {
        for (int32_t kx = taps->x0; kx < taps->x1; kx++) {
            const ptrdiff_t y = taps->top + ky * p->dilation_h, x = taps->left + kx * p->dilation_w;
            const int32_t v = image[(y * p->in_w + x) * p->channels + c / p->multiplier] - p->input_zero;
            sum += v * (((const int8_t *)operands[2])[(ptrdiff_t)(ky * p->kernel_w + kx) * out_c + c] - p->weight_zero);
        }
    }
    return finished(p, operands, sum, c);
}

void dw_s8_4c_dsp(const void *params, void *const *operands, const edged_task *task) {
    const edged_depthwise_s8_params *p = params;
    const int32_t out_c = p->channels * p->multiplier, fours = p->multiplier == 1 ? p->channels / 4 * 4 : 0;
    for (uint32_t row = task->begin; row < task->end; row++) {
        const int32_t image = (int32_t)row / p->out_h, y = (int32_t)row % p->out_h;
        const int8_t *in = (const int8_t *)operands[1] + (ptrdiff_t)image * p->in_h * p->in_w * p->channels;
        int8_t *out = (int8_t *)operands[0] + (ptrdiff_t)row * p->out_w * out_c;
        for (int32_t x = 0; x < p->out_w; x++, out += out_c) {
            const edged_taps taps = EDGED_TAPS(p, y, x);
            const ptrdiff_t top = taps.top + taps.y0 * p->dilation_h, left = taps.left + taps.x0 * p->dilation_w;
            const int8_t *from = in + (top * p->in_w + left) * p->channels;
            const int8_t *weights = (const int8_t *)operands[2] + (ptrdiff_t)(taps.y0 * p->kernel_w + taps.x0) * out_c;
            int32_t c = 0;
            for (; c < fours; c += 4) four_channels(p, operands, &taps, from + c, weights + c, c, out + c);
            for (; c < out_c; c++) out[c] = one_channel(p, operands, &taps, in, c);
        }
    }
}
