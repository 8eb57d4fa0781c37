/* The rarer pairs: quantised division, int16 in powers of two, plain 8- and 16-bit integers, bits. */
#include <math.h>

#include "../fixed_functions.h"
#include "rows.h"

#define INT(op, T, U, EXPRESSION) EDGED_BINARY(op##_scalar, edged_binary_int_params, T, U, EXPRESSION)
#define Q(op, T, U, EXPRESSION) EDGED_BINARY(op##_scalar, edged_binary_q_params, T, U, EXPRESSION)

static inline int32_t finish(int64_t x, const edged_binary_q_params *p) {
    const int64_t v = x + p->zero_out;
    return v < p->low ? p->low : (v > p->high ? p->high : (int32_t)v);
}

/* ---- quantised ---- */

/* RoundingDivideByPOT as TFLite's x86 builds have it for exponents outside 0 ... 31: the shift takes the low five bits. */
static int64_t divide_by_pot(int32_t x, int32_t exponent) {
    const int32_t bits = exponent < 0 ? 0 : (exponent > 31 ? 31 : exponent);
    const int64_t mask = exponent > 31 ? -1 : (INT64_C(1) << bits) - 1, threshold = (mask >> 1) + (x < 0);
    return ((int64_t)x >> (exponent & 31)) + ((x & mask) > threshold);
}

/* By the fixed-point reciprocal of the divisor; a divisor of real 0, which TFLite refuses at run time, gives real 0. */
static int32_t quotient(int32_t x, int32_t y, const edged_binary_q_params *p) {
    int32_t a = x - p->zero_a, b = y - p->zero_b;
    if (b == 0) return finish(0, p);
    if (b < 0) a = -a, b = -b;
    const int32_t zeros = 32 - edged_bits_of((uint32_t)b), room = 31 - edged_bits_of((uint32_t)(a < 0 ? ~a : a));
    const int32_t inverse = edged_one_over_one_plus((int32_t)(((uint32_t)b << zeros) - (UINT32_C(1) << 31)));
    const int32_t product = edged_doubling_high_mul(edged_doubling_high_mul(edged_shift_left(a, room), inverse), p->mul_out);
    return finish(divide_by_pot(product, 31 - zeros + room - p->shift_out), p);
}

static inline int32_t clip16(int32_t x) { return edged_clamp(x, INT16_MIN, INT16_MAX); }

static inline int32_t halves(int32_t x, int32_t y) {
    const int32_t high = (x * y + (1 << 14)) >> 15;
    return edged_rounding_shift(high > INT16_MAX ? INT16_MAX : high, 8);
}

Q(div_s8, int8_t, int8_t, quotient(x, y, p))
Q(div_s16, int16_t, int16_t, quotient(x, y, p))
Q(add_pot_s16, int16_t, int16_t, finish(clip16(edged_rounding_shift(x, p->shift_a) + edged_rounding_shift(y, p->shift_b)), p))
Q(sub_pot_s16, int16_t, int16_t, finish(clip16(edged_rounding_shift(x, p->shift_a) - edged_rounding_shift(y, p->shift_b)), p))
Q(mul_s16_s8, int16_t, int8_t, finish(halves(x, y), p))

/* ---- plain ---- */

static inline int32_t floor_quotient(int32_t x, int32_t y) { return y == 0 ? 0 : x / y - (x % y != 0 && (x < 0) != (y < 0)); }

static inline int32_t floor_rest(int32_t x, int32_t y) {
    const int32_t r = y == 0 ? 0 : x % y;
    return r != 0 && (r < 0) != (y < 0) ? r + y : r;
}

static inline int32_t amount(int64_t y, int32_t bits) { return y < 0 ? 0 : (y >= bits ? bits - 1 : (int32_t)y); }

#define NARROW(suffix, T, U)                                                                                                     \
    INT(plain_add_##suffix, T, T, (U)((U)x + (U)y))                                                                              \
    INT(plain_sub_##suffix, T, T, (U)((U)x - (U)y))                                                                              \
    INT(plain_mul_##suffix, T, T, (U)((uint32_t)(U)x * (uint32_t)(U)y))                                                          \
    INT(floor_div_##suffix, T, T, floor_quotient(x, y))                                                                          \
    INT(floor_mod_##suffix, T, T, floor_rest(x, y))                                                                              \
    INT(shift_right_##suffix, T, T, x >> amount(y, 8 * (int32_t)sizeof(T)))

NARROW(s8, int8_t, uint8_t)
NARROW(s16, int16_t, uint16_t)
INT(max_u8, uint8_t, uint8_t, x > y ? x : y)
INT(min_u8, uint8_t, uint8_t, x < y ? x : y)
INT(xor_s8, uint8_t, uint8_t, x ^ y)
INT(xor_s16, uint16_t, uint16_t, x ^ y)
INT(xor_s32, uint32_t, uint32_t, x ^ y)
INT(and_s8, uint8_t, uint8_t, x & y)
INT(and_s32, uint32_t, uint32_t, x & y)
INT(shift_right_s32, int32_t, int32_t, x >> amount(y, 32))
INT(shift_right_u8, uint8_t, uint8_t, x >> amount(y, 8))
INT(shift_right_u16, uint16_t, uint16_t, x >> amount(y, 16))
INT(shift_right_u32, uint32_t, uint32_t, x >> amount(y, 32))
INT(shift_left_s8, int8_t, uint8_t, y >= 0 && y < 8 ? (uint8_t)((uint32_t)x << y) : 0)
INT(shift_left_s32, int32_t, uint32_t, y >= 0 && y < 32 ? (uint32_t)x << y : 0u)
EDGED_BINARY(atan2_f32_scalar, edged_binary_f32_params, float, float, atan2f(x, y))

/* ---- any number of tensors ---- */

/* One addend of a sum; the last one stores it. */
void add_n_s8_scalar(const void *params, void *const *operands, const edged_task *task) {
    const edged_add_n_params *p = params;
    int8_t *out = operands[0];
    int32_t *sum = operands[1];
    const int8_t *in = operands[2];
    for (uint32_t i = task->begin; i < task->end; i++) {
        const int32_t part = edged_requantise(edged_shift_left(in[i] - p->zero_in, 20), p->mul_in, p->shift_in);
        const int32_t total = edged_wrapping_add(p->first ? p->start : sum[i], part);
        sum[i] = total;
        if (p->last) out[i] = (int8_t)edged_clamp(edged_wrapping_add(edged_requantise(total, p->mul_out, p->shift_out), p->zero_out), INT8_MIN, INT8_MAX);
    }
}
