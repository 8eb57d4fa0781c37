/* Quantised pairs, portable C: TFLite's integer arithmetic with double rounding
 * (kernels/internal/reference/integer_ops/add.h, mul.h, prelu, comparisons.h). */
#include "../fixedpoint.h"
#include "rows.h"

#define Q(op, T, U, EXPRESSION) EDGED_BINARY(op##_scalar, edged_binary_q_params, T, U, EXPRESSION)

static inline int32_t scaled_a(int32_t x, const edged_binary_q_params *p) {
    return edged_requantise(edged_shift_left(x - p->zero_a, p->left), p->mul_a, p->shift_a);
}

static inline int32_t scaled_b(int32_t y, const edged_binary_q_params *p) {
    return edged_requantise(edged_shift_left(y - p->zero_b, p->left), p->mul_b, p->shift_b);
}

static inline int32_t output(int32_t v, const edged_binary_q_params *p) {
    v = edged_requantise(v, p->mul_out, p->shift_out);
    return edged_clamp(edged_wrapping_add(v, p->zero_out), p->low, p->high);
}

static inline int32_t squared(int32_t difference) {
    return (int32_t)((uint32_t)difference * (uint32_t)difference);
}

static inline int32_t prelu(int32_t x, int32_t alpha, const edged_binary_q_params *p) {
    const int32_t v = x >= p->zero_a ? edged_requantise(x - p->zero_a, p->mul_a, p->shift_a)
                                     : edged_requantise((x - p->zero_a) * (alpha - p->zero_b), p->mul_b, p->shift_b);
    return edged_clamp(edged_wrapping_add(v, p->zero_out), p->low, p->high);
}

#define QUANTISED(suffix, T)                                                                                                    \
    Q(add_##suffix, T, T, output(edged_wrapping_add(scaled_a(x, p), scaled_b(y, p)), p))                                         \
    Q(sub_##suffix, T, T, output(edged_wrapping_add(scaled_a(x, p), -scaled_b(y, p)), p))                                        \
    Q(mul_##suffix, T, T, output((x - p->zero_a) * (y - p->zero_b), p))                                                          \
    Q(squared_difference_##suffix, T, T, output(squared(edged_wrapping_add(scaled_a(x, p), -scaled_b(y, p))), p))                \
    Q(scaled_eq_##suffix, T, uint8_t, scaled_a(x, p) == scaled_b(y, p))                                                          \
    Q(scaled_ne_##suffix, T, uint8_t, scaled_a(x, p) != scaled_b(y, p))                                                          \
    Q(scaled_lt_##suffix, T, uint8_t, scaled_a(x, p) < scaled_b(y, p))                                                           \
    Q(scaled_le_##suffix, T, uint8_t, scaled_a(x, p) <= scaled_b(y, p))

QUANTISED(s8, int8_t)
QUANTISED(s16, int16_t)
Q(prelu_s8, int8_t, int8_t, prelu(x, y, p))
