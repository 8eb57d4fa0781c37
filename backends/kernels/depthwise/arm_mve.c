/* Depthwise convolution for Helium: eight channels of a pixel at a time. Weights are s8 [kernel_h][kernel_w][out_c]. Layers with a multiplier, and
 * the last few channels, take four lanes that gather their inputs. */
#include "../abi.h"
#include "../params.h"
#include "../simd_mve.h"
#include "taps.h"

/* Output channels c .. c + 3, those that are `there`, of one pixel. */
static int32x4_t four_channels(const edged_depthwise_s8_params *p, void *const *operands, const edged_taps *taps, const int8_t *image, int32_t c,
                               mve_pred16_t there) {
    const int32_t out_c = p->channels * p->multiplier;
    const uint32_t first = (uint32_t)(c / p->multiplier), m = (uint32_t)p->multiplier;
    const uint32_t lanes[4] = {0, ((uint32_t)c + 1) / m - first, ((uint32_t)c + 2) / m - first, ((uint32_t)c + 3) / m - first};
    const uint32x4_t places = vldrwq_u32(lanes);
    int32x4_t sum = vldrwq_z_s32((const int32_t *)operands[3] + c, there);
    for (int32_t ky = taps->y0; ky < taps->y1; ky++) {
        const ptrdiff_t y = taps->top + ky * p->dilation_h;
        const int8_t *from = image + (y * p->in_w + taps->left + taps->x0 * p->dilation_w) * p->channels + first;
        const int8_t *w = (const int8_t *)operands[2] + (ptrdiff_t)(ky * p->kernel_w + taps->x0) * out_c + c;
        for (int32_t kx = taps->x1 - taps->x0; kx > 0; kx--, from += p->dilation_w * p->channels, w += out_c) {
            const int32x4_t v = m == 1 ? vldrbq_z_s32(from, there) : vldrbq_gather_offset_z_s32(from, places, there);
            const int32x4_t u = vsubq_n_s32(vldrbq_z_s32(w, there), p->weight_zero);
            sum = vaddq_s32(sum, vmulq_s32(vsubq_n_s32(v, p->input_zero), u));
        }
    }
    return sum;
}

/* Sums of eight channels: the even ones, and the odd ones. */
typedef struct edged_sums {
    int32x4_t even, odd;
} edged_sums;

static inline edged_sums one_tap(edged_sums s, const int8_t *from, const int8_t *w, int32_t input_zero, int32_t weight_zero) {
    const int16x8_t v = vsubq_n_s16(vldrbq_s16(from), (int16_t)input_zero);
    int16x8_t u = vldrbq_s16(w);
    if (weight_zero) u = vsubq_n_s16(u, (int16_t)weight_zero);
    s.even = vaddq_s32(s.even, vmullbq_int_s16(v, u));
    s.odd = vaddq_s32(s.odd, vmulltq_int_s16(v, u));
    return s;
}

/* Channels c .. c + 7 of one pixel, of a layer without a multiplier. */
static void eight_channels(const edged_depthwise_s8_params *p, void *const *operands, const edged_taps *taps, const int8_t *image, int32_t c, int8_t *out) {
    const int32x4x2_t bias = vld2q_s32((const int32_t *)operands[3] + c);
    const int32_t zero = p->input_zero, weight_zero = p->weight_zero, n = p->channels;
    const ptrdiff_t tap = (ptrdiff_t)p->dilation_w * n;
    edged_sums s = {bias.val[0], bias.val[1]};
    for (int32_t ky = taps->y0; ky < taps->y1; ky++) {
        const ptrdiff_t y = taps->top + ky * p->dilation_h;
        const int8_t *from = image + (y * p->in_w + taps->left + taps->x0 * p->dilation_w) * n + c;
        const int8_t *w = (const int8_t *)operands[2] + (ptrdiff_t)(ky * p->kernel_w + taps->x0) * n + c;
        int32_t left = taps->x1 - taps->x0;
        for (; left >= 3; left -= 3, from += 3 * tap, w += 3 * n) {
            s = one_tap(s, from, w, zero, weight_zero);
            s = one_tap(s, from + tap, w + n, zero, weight_zero);
            s = one_tap(s, from + 2 * tap, w + 2 * n, zero, weight_zero);
        }
        for (; left > 0; left--, from += tap, w += n) s = one_tap(s, from, w, zero, weight_zero);
    }
    const int32x4x2_t multiplier = vld2q_s32((const int32_t *)operands[4] + c);
    const int16x8_t shift = vldrbq_s16((const int8_t *)operands[5] + c);
    s.even = edged_clamp_4(vaddq_n_s32(edged_requantise_4(s.even, multiplier.val[0], vmovlbq_s16(shift)), p->output_zero), p->act_min, p->act_max);
    s.odd = edged_clamp_4(vaddq_n_s32(edged_requantise_4(s.odd, multiplier.val[1], vmovltq_s16(shift)), p->output_zero), p->act_min, p->act_max);
    vstrbq_s16(out, vmovntq_s32(vmovnbq_s32(vdupq_n_s16(0), s.even), s.odd));
}

void dw_s8_4c_mve(const void *params, void *const *operands, const edged_task *task) {
    const edged_depthwise_s8_params *p = params;
    const int32_t *multiplier = operands[4], out_c = p->channels * p->multiplier;
    const int8_t *shift = operands[5];
    for (uint32_t row = task->begin; row < task->end; row++) {
        const int32_t image = (int32_t)row / p->out_h, y = (int32_t)row % p->out_h;
        const int8_t *in = (const int8_t *)operands[1] + (ptrdiff_t)image * p->in_h * p->in_w * p->channels;
        int8_t *out = (int8_t *)operands[0] + (ptrdiff_t)row * p->out_w * out_c;
        for (int32_t x = 0; x < p->out_w; x++, out += out_c) {
            const edged_taps taps = EDGED_TAPS(p, y, x);
            int32_t c = 0;
            for (; p->multiplier == 1 && c + 8 <= out_c; c += 8) eight_channels(p, operands, &taps, in, c, out + c);
            for (; c < out_c; c += EDGED_ROWS) {
                const mve_pred16_t there = vctp32q((uint32_t)(out_c - c));
                int32x4_t v = four_channels(p, operands, &taps, in, c, there);
                v = edged_requantise_4(v, vldrwq_z_s32(multiplier + c, there), vldrbq_z_s32(shift + c, there));
                vstrbq_p_s32(out + c, edged_clamp_4(vaddq_n_s32(v, p->output_zero), p->act_min, p->act_max), there);
            }
        }
    }
}
