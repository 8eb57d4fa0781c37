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

/* Assembly of one tap: q2 and q0 are what it adds. gcc 12 makes loops of this that are twice as long. */
#define TAP(take_weight_zero)              \
    "vldrb.s16   q0, [%[from]]\n"          \
    "vldrb.s16   q1, [%[w]]\n"             \
    "vsub.i16    q0, q0, %[zero]\n"        \
    take_weight_zero                       \
    "vmullb.s16  q2, q0, q1\n"             \
    "vmullt.s16  q0, q0, q1\n"             \
    "vadd.i32    %q[even], %q[even], q2\n" \
    "vadd.i32    %q[odd], %q[odd], q0\n"

#define NEXT                                 \
    "add         %[from], %[from], %[tap]\n" \
    "add         %[w], %[w], %[weight_tap]\n"

/* Adds the taps of one row, `columns` of them. */
static inline edged_sums taps_of_row(edged_sums s, const int8_t *from, ptrdiff_t tap, const int8_t *w, ptrdiff_t weight_tap, int32_t columns, int32_t zero,
                                     int32_t weight_zero) {
    __asm__ volatile("dls         lr, %[columns]\n"
                     "1:\n" TAP("vsub.i16    q1, q1, %[weight_zero]\n") NEXT
                     "le          lr, 1b\n"
                     : [even] "+w"(s.even), [odd] "+w"(s.odd), [from] "+l"(from), [w] "+l"(w)
                     : [tap] "r"(tap), [weight_tap] "r"(weight_tap), [columns] "r"(columns), [zero] "r"(zero), [weight_zero] "r"(weight_zero)
                     : "q0", "q1", "q2", "lr", "memory");
    return s;
}

/* Adds the taps of `rows` rows (at least one), each `taps`, of weights whose zero point is 0. `line` and `weight_line`: from a row's last tap to the
 * next row's first. */
#define ROWS_OF(name, taps)                                                                                                               \
    static inline edged_sums name(edged_sums s, const int8_t *from, ptrdiff_t tap, ptrdiff_t line, const int8_t *w, ptrdiff_t weight_tap, \
                                  ptrdiff_t weight_line, int32_t rows, int32_t zero) {                                                    \
        __asm__ volatile("dls         lr, %[rows]\n"                                                                                      \
                         "1:\n" taps "add         %[from], %[from], %[line]\n"                                                            \
                         "add         %[w], %[w], %[weight_line]\n"                                                                       \
                         "le          lr, 1b\n"                                                                                           \
                         : [even] "+w"(s.even), [odd] "+w"(s.odd), [from] "+l"(from), [w] "+l"(w)                                         \
                         : [tap] "r"(tap), [weight_tap] "r"(weight_tap), [line] "r"(line), [weight_line] "r"(weight_line),                \
                           [rows] "r"(rows), [zero] "r"(zero)                                                                             \
                         : "q0", "q1", "q2", "lr", "memory");                                                                             \
        return s;                                                                                                                         \
    }

ROWS_OF(rows_of_two, TAP("") NEXT TAP(""))
ROWS_OF(rows_of_three, TAP("") NEXT TAP("") NEXT TAP(""))

/* What eight_channels needs of a layer, apart from its parameters: the compiler must take any int8 that is stored for one of those. */
typedef struct octet {
    const int32_t *bias, *multiplier;
    const int8_t *shift;
    ptrdiff_t tap, weight_tap, line, weight_line, next_line, next_weight_line; /* next_: from a row's last tap */
    int32_t rows, columns, zero, weight_zero, output_zero, low, high;
} octet;

/* Channels c .. c + 7 of one pixel, of a layer without a multiplier. `in` is the input at the first tap that counts, `w` the weights of that one; both at c. */
static inline void eight_channels(const octet *o, int32_t width, const int8_t *in, const int8_t *w, int32_t c, int8_t *out) {
    const int32x4x2_t bias = vld2q_s32(o->bias + c);
    edged_sums s = {bias.val[0], bias.val[1]};
    if (width == 3)
        s = rows_of_three(s, in, o->tap, o->next_line, w, o->weight_tap, o->next_weight_line, o->rows, o->zero);
    else if (width == 2)
        s = rows_of_two(s, in, o->tap, o->next_line, w, o->weight_tap, o->next_weight_line, o->rows, o->zero);
    else
        for (int32_t rows = o->rows; rows > 0; rows--, in += o->line, w += o->weight_line)
            s = taps_of_row(s, in, o->tap, w, o->weight_tap, o->columns, o->zero, o->weight_zero);
    const int32x4x2_t multiplier = vld2q_s32(o->multiplier + c);
    const int16x8_t shift = vldrbq_s16(o->shift + c);
    s.even = edged_clamp_4(vaddq_n_s32(edged_requantise_4(s.even, multiplier.val[0], vmovlbq_s16(shift)), o->output_zero), o->low, o->high);
    s.odd = edged_clamp_4(vaddq_n_s32(edged_requantise_4(s.odd, multiplier.val[1], vmovltq_s16(shift)), o->output_zero), o->low, o->high);
    vstrbq_s16(out, vmovntq_s32(vreinterpretq_s16_s32(s.even), s.odd));
}

void dw_s8_4c_mve(const void *params, void *const *operands, const edged_task *task) {
    const edged_depthwise_s8_params *p = params;
    const int32_t *multiplier = operands[4], out_c = p->channels * p->multiplier;
    const int8_t *shift = operands[5];
    octet o = {.bias = operands[3], .multiplier = multiplier, .shift = shift, .weight_tap = p->channels, .zero = p->input_zero, .weight_zero = p->weight_zero,
               .output_zero = p->output_zero, .low = p->act_min, .high = p->act_max};
    o.tap = (ptrdiff_t)p->dilation_w * p->channels, o.line = (ptrdiff_t)p->dilation_h * p->in_w * p->channels;
    o.weight_line = (ptrdiff_t)p->kernel_w * p->channels;
    const int32_t eights = p->multiplier == 1 ? out_c / 8 * 8 : 0;
    for (uint32_t row = task->begin; row < task->end; row++) {
        const int32_t image = (int32_t)row / p->out_h, y = (int32_t)row % p->out_h;
        const int8_t *in = (const int8_t *)operands[1] + (ptrdiff_t)image * p->in_h * p->in_w * p->channels;
        int8_t *out = (int8_t *)operands[0] + (ptrdiff_t)row * p->out_w * out_c;
        for (int32_t x = 0; x < p->out_w; x++, out += out_c) {
            const edged_taps taps = EDGED_TAPS(p, y, x);
            const ptrdiff_t first = (ptrdiff_t)(taps.top + taps.y0 * p->dilation_h) * p->in_w + taps.left + taps.x0 * p->dilation_w;
            const int8_t *from = in + first * p->channels, *w = (const int8_t *)operands[2] + (ptrdiff_t)(taps.y0 * p->kernel_w + taps.x0) * out_c;
            o.columns = taps.x1 - taps.x0, o.rows = o.columns > 0 ? taps.y1 - taps.y0 : 0;
            int32_t c = 0;
            const int32_t width = o.rows > 0 && p->weight_zero == 0 ? o.columns : 0;
            o.next_line = o.line - (o.columns - 1) * o.tap, o.next_weight_line = o.weight_line - (o.columns - 1) * o.weight_tap;
            if (width == 3)
                for (; c < eights; c += 8) eight_channels(&o, 3, from + c, w + c, c, out + c);
            else if (width == 2)
                for (; c < eights; c += 8) eight_channels(&o, 2, from + c, w + c, c, out + c);
            else
                for (; c < eights; c += 8) eight_channels(&o, 0, from + c, w + c, c, out + c);
            for (; c < out_c; c += 4) {
                const mve_pred16_t there = vctp32q((uint32_t)(out_c - c));
                int32x4_t v = four_channels(p, operands, &taps, in, c, there);
                v = edged_requantise_4(v, vldrwq_z_s32(multiplier + c, there), vldrbq_z_s32(shift + c, there));
                vstrbq_p_s32(out + c, edged_clamp_4(vaddq_n_s32(v, p->output_zero), p->act_min, p->act_max), there);
            }
        }
    }
}
