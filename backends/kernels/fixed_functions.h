/* Reciprocal and inverse square root of 32-bit fixed-point numbers, as gemmlowp and TFLite compute them (fixedpoint/fixedpoint.h; GetReciprocal
 * and GetInvSqrtQuantizedMultiplierExp of kernels/internal/common.h): bit-identical to edged.graph.ops.fixedpoint_functions. */
#ifndef EDGED_FIXED_FUNCTIONS_H
#define EDGED_FIXED_FUNCTIONS_H

#include "fixedpoint.h"

static inline int32_t edged_saturate32(int64_t x) { return x > INT32_MAX ? INT32_MAX : (x < INT32_MIN ? INT32_MIN : (int32_t)x); }

/* x << n where it fits, else the nearest int32. n in 0 ... 31. */
static inline int32_t edged_saturating_left(int32_t x, int32_t n) { return edged_saturate32((int64_t)x * ((int64_t)1 << n)); }

/* Bits that x takes: 0 for 0. */
static inline int32_t edged_bits_of(uint32_t x) {
    int32_t n = 0;
    for (; x != 0; x >>= 1) n++;
    return n;
}

/* 1 / (1 + a) for a in [0, 1), both Q0.31: three steps of Newton and Raphson in Q2.29. */
static inline int32_t edged_one_over_one_plus(int32_t a) {
    const int64_t sum = (int64_t)a + INT32_MAX;
    const int32_t half = (int32_t)((sum + 1) / 2), one = 1 << 29;
    int32_t x = edged_wrapping_add(1515870810, edged_doubling_high_mul(half, -1010580540));
    for (int i = 0; i < 3; i++) {
        const int32_t rest = one - edged_doubling_high_mul(half, x);
        x = edged_wrapping_add(x, edged_saturating_left(edged_doubling_high_mul(x, rest), 2));
    }
    return edged_saturating_left(x, 1);
}

/* 1 / sqrt(value) = multiplier * 2^(-shift - 31). */
static inline void edged_inverse_sqrt(int32_t value, int32_t *multiplier, int32_t *shift) {
    int32_t x = 1 << 28, right = 11;
    if (value <= 1) {
        *multiplier = INT32_MAX, *shift = 0;
        return;
    }
    for (; value >= (1 << 29); value /= 4) right++;
    for (; value < (1 << 27); value *= 4) right--;
    const int32_t half = edged_rounding_shift(value >> 1, 1);
    for (int i = 0; i < 5; i++) {
        const int32_t cube = edged_saturating_left(edged_doubling_high_mul(edged_doubling_high_mul(x, x), x), 6);
        const int32_t step = edged_wrapping_add(edged_doubling_high_mul(x, (1 << 28) + (1 << 27)), -edged_doubling_high_mul(half, cube));
        x = edged_saturating_left(step, 3);
    }
    *multiplier = edged_shift_left(edged_doubling_high_mul(x, 1518500250), right < 0 ? -right : 0);
    *shift = right < 0 ? 0 : right;
}

#endif
