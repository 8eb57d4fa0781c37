/* Logistic and tanh of 16-bit fixed-point numbers, as gemmlowp computes them (fixedpoint/fixedpoint.h, int16_t): bit-identical to
 * edged.graph.ops.fixedpoint_functions with bits = 16. A value with k integer bits stands for raw / 2^(15 - k); results have none. */
#ifndef EDGED_FIXED16_H
#define EDGED_FIXED16_H

#include "../fixedpoint.h"

static inline int32_t edged_wrap16(int32_t x) { return (int16_t)(uint16_t)(uint32_t)x; }

static inline int32_t edged_clip16(int64_t x) { return x < INT16_MIN ? INT16_MIN : (x > INT16_MAX ? INT16_MAX : (int32_t)x); }

/* SaturatingRoundingDoublingHighMul of 16-bit numbers. */
static inline int32_t edged_high_mul16(int32_t a, int32_t b) {
    const int32_t high = (a * b + (1 << 14)) >> 15;
    return high > INT16_MAX ? INT16_MAX : high;
}

/* SaturatingRoundingMultiplyByPOT to the left. */
static inline int32_t edged_raise16(int32_t x, int32_t bits) { return edged_clip16((int64_t)x * (1 << bits)); }

/* exp of [-1/4, 0), no integer bits: a Taylor expansion around -1/8. */
static inline int32_t edged_exp_near_zero16(int32_t a) {
    const int32_t centre = 28918, third = 10923; /* exp(-1/8), 1/3 */
    const int32_t x = edged_wrap16(a + (1 << 12)), x2 = edged_high_mul16(x, x);
    const int32_t x3 = edged_high_mul16(x2, x), quarter = edged_rounding_shift(edged_high_mul16(x2, x2), 2);
    const int32_t higher = edged_rounding_shift(edged_wrap16(edged_high_mul16(edged_wrap16(quarter + x3), third) + x2), 1);
    return edged_clip16(centre + edged_high_mul16(edged_wrap16(x + higher), centre));
}

/* exp(a) for a <= 0 with `k` integer bits, 0 to 7. */
static inline int32_t edged_exp_negative16(int32_t a, int32_t k) {
    static const int32_t barrel[7] = {25520, 19875, 12055, 4435, 600, 11, 0}; /* exp(-2^(i - 2)) */
    const int32_t fraction = 15 - k, quarter = 1 << (fraction - 2);
    const int32_t rest = (a & (quarter - 1)) - quarter, remainder = edged_wrap16(rest - a);
    int32_t result = edged_exp_near_zero16(edged_raise16(rest, k));
    for (int32_t i = 0; i < 7 && k > i - 2; i++) {
        if (remainder & (1 << (fraction + i - 2))) result = edged_high_mul16(result, barrel[i]);
    }
    if (k > 5 && a < -(1 << (20 - k))) result = 0;
    return a == 0 ? INT16_MAX : result;
}

/* 1 / (1 + a) of a in [0, 1), with one integer bit less than its name has: 2 / (1 + a) in units of 2^-13. Three Newton-Raphson steps. */
static inline int32_t edged_half_inverse16(int32_t a) {
    const int32_t half = (a + INT16_MAX + 1) >> 1, one = 1 << 13;
    int32_t x = edged_wrap16(23130 + edged_high_mul16(half, -15420)); /* 48/17 - 32/17 half */
    for (int32_t i = 0; i < 3; i++) {
        const int32_t error = edged_wrap16(one - edged_high_mul16(half, x));
        x = edged_wrap16(x + edged_raise16(edged_high_mul16(x, error), 2));
    }
    return x;
}

static inline int32_t edged_logistic_fixed16(int32_t a, int32_t k) {
    const int32_t above = edged_raise16(edged_half_inverse16(edged_exp_negative16(a < 0 ? a : -a, k)), 1);
    if (a == 0) return 1 << 14;
    return a > 0 ? above : INT16_MAX - above;
}

/* k in 0 ... 6. */
static inline int32_t edged_tanh_fixed16(int32_t a, int32_t k) {
    const int32_t power = edged_exp_negative16(a < 0 ? a : -a, k + 1);
    const int32_t size = edged_raise16(edged_wrap16(edged_half_inverse16(power) - (1 << 13)), 2);
    return a == 0 ? 0 : (a < 0 ? -size : size);
}

#endif
