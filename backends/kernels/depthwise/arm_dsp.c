/* Depthwise convolution for armv7e-m: four channels of a pixel at a time, one multiply-accumulate of 16 bits each. Weights are s8
 * [kernel_h][kernel_w][out_c]. Layers with a multiplier take the plain loop. */
#include "../fixedpoint.h"
#include "../simd_dsp.h"
#include "plain.h"

static int8_t finished(const edged_depthwise_s8_params *p, void *const *operands, int32_t sum, int32_t c) {
    const int32_t *multiplier = operands[4];
    const int8_t *shift = operands[5];
    return (int8_t)edged_finished_s8(sum, multiplier[c], shift[c], p->output_zero, 0, p->act_min, p->act_max);
}

enum { QUAD = 4, COLUMNS = 3 };

/* What four channels of a pixel are made from: the taps that lie within the image. multiply_taps reads it word by word. */
typedef struct quad {
    int16x2_t weight_zero, zero;     /* zero points, negated, twice */
    ptrdiff_t tap, weight_tap;       /* from a tap to the next one */
    int32_t columns, rows;           /* of taps; columns: at most COLUMNS */
    ptrdiff_t line, weight_line;     /* from a row of taps to the next one */
    int32_t sums[QUAD];
} quad;

/* q->sums = start + the products of the taps. q->rows is used up. All registers are in use: no compiler keeps them so. */
static __attribute__((naked, noinline)) void multiply_taps(const int8_t *in __attribute__((unused)), const int8_t *weights __attribute__((unused)),
                                                           quad *q __attribute__((unused)), const int32_t *start __attribute__((unused))) {
#define TAP(input, weight)                                                                                                       \
    "ldr      r9, [r0" input "]\n"                                                                                              \
    "ldr      r11, [r1" weight "]\n"                                                                                            \
    "sxtab16  r8, r3, r9\n"                                                                                                     \
    "sxtab16  r9, r3, r9, ror #8\n"                                                                                             \
    "sxtab16  r10, r2, r11\n"                                                                                                   \
    "sxtab16  r11, r2, r11, ror #8\n"                                                                                           \
    "smlabb   r4, r8, r10, r4\n"                                                                                                \
    "smlabb   r5, r9, r11, r5\n"                                                                                                \
    "smlatt   r6, r8, r10, r6\n"                                                                                                \
    "smlatt   r7, r9, r11, r7\n"
    __asm__("push     {r2, r4-r11, lr}\n"
            "ldmia    r3, {r4-r7}\n"
            "ldmia    r2, {r2, r3, r12, lr}\n" /* weight_zero, zero, tap, weight_tap */
            "1:\n"
            "ldr      r8, [sp]\n"
            "ldr      r8, [r8, #16]\n" /* columns */
            "cmp      r8, #2\n"
            "blt      3f\n"
            "beq      2f\n"
            TAP(", r12, lsl #1", ", lr, lsl #1")
            "2:\n"
            TAP(", r12", ", lr")
            "3:\n"
            TAP("", "")
            "ldr      r11, [sp]\n"
            "ldrd     r8, r9, [r11, #24]\n" /* line, weight_line */
            "add      r0, r0, r8\n"
            "add      r1, r1, r9\n"
            "ldr      r8, [r11, #20]\n" /* rows */
            "subs     r8, r8, #1\n"
            "str      r8, [r11, #20]\n"
            "bne      1b\n"
            "add      r11, r11, #32\n"
            "stmia    r11, {r4-r7}\n"
            "pop      {r2, r4-r11, pc}\n");
#undef TAP
}

/* Channels c .. c + 3 of one pixel. `in` is the input at tap (y0, x0), `weights` the first of those taps. */
static void four_channels(const edged_depthwise_s8_params *p, void *const *operands, quad *q, const edged_taps *taps, const int8_t *in,
                          const int8_t *weights, int32_t c, int8_t *out) {
    const int32_t *start = (const int32_t *)operands[3] + c;
    for (int32_t left = taps->x1 - taps->x0; left > 0; left -= COLUMNS, start = q->sums) {
        q->columns = left < COLUMNS ? left : COLUMNS, q->rows = taps->y1 - taps->y0;
        multiply_taps(in, weights, q, start);
        in += COLUMNS * q->tap, weights += COLUMNS * q->weight_tap;
    }
    for (int32_t i = 0; i < QUAD; i++) out[i] = finished(p, operands, q->sums[i], c + i);
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
    const int32_t out_c = p->channels * p->multiplier, fours = p->multiplier == 1 ? p->channels / QUAD * QUAD : 0;
    quad q; /* (set one by one: a compiler would call memset for the rest) */
    q.weight_zero = edged_pair(-p->weight_zero), q.zero = edged_pair(-p->input_zero);
    q.tap = (ptrdiff_t)p->dilation_w * p->channels, q.weight_tap = p->channels;
    q.line = (ptrdiff_t)p->dilation_h * p->in_w * p->channels, q.weight_line = (ptrdiff_t)p->kernel_w * p->channels;
    for (uint32_t row = task->begin; row < task->end; row++) {
        const int32_t image = (int32_t)row / p->out_h, y = (int32_t)row % p->out_h;
        const int8_t *in = (const int8_t *)operands[1] + (ptrdiff_t)image * p->in_h * p->in_w * p->channels;
        int8_t *out = (int8_t *)operands[0] + (ptrdiff_t)row * p->out_w * out_c;
        for (int32_t x = 0; x < p->out_w; x++, out += out_c) {
            const edged_taps taps = EDGED_TAPS(p, y, x);
            const ptrdiff_t top = taps.top + taps.y0 * p->dilation_h, left = taps.left + taps.x0 * p->dilation_w;
            const int8_t *from = in + (top * p->in_w + left) * p->channels;
            const int8_t *weights = (const int8_t *)operands[2] + (ptrdiff_t)(taps.y0 * p->kernel_w + taps.x0) * out_c;
            const int32_t end = taps.y0 < taps.y1 && taps.x0 < taps.x1 ? fours : 0;
            int32_t c = 0;
            for (; c < end; c += QUAD) four_channels(p, operands, &q, &taps, from + c, weights + c, c, out + c);
            for (; c < out_c; c++) out[c] = one_channel(p, operands, &taps, in, c);
        }
    }
}
