/* Fixed-point arithmetic of TFLite's integer kernels, scalar. Bit-identical to edged.graph.ops (double rounding):
 * what gemmlowp/fixedpoint.h and tensorflow/lite/kernels/internal/common.h define. C99, usable on every target.
 *
 * A multiplier m (Q31, 0 or in [2^30, 2^31)) with a shift s stands for the real factor m * 2^(s - 31); s > 0 shifts left.
 */
#ifndef EDGED_FIXEDPOINT_H
#define EDGED_FIXEDPOINT_H

#include <stdint.h>

/* SaturatingRoundingDoublingHighMul: round(a * b / 2^31), ties up; the one overflow (both INT32_MIN) saturates. */
static inline int32_t edged_doubling_high_mul(int32_t a, int32_t b) {
    if (a == INT32_MIN && b == INT32_MIN) return INT32_MAX;
    return (int32_t)(((int64_t)a * b + (INT64_C(1) << 30)) >> 31);
}

/* RoundingDivideByPOT: x / 2^exponent, ties away from zero. exponent in 0..31. */
static inline int32_t edged_rounding_shift(int32_t x, int32_t exponent) {
    const int32_t mask = (int32_t)((UINT32_C(1) << exponent) - 1u);
    const int32_t remainder = x & mask;
    const int32_t threshold = (mask >> 1) + (x < 0 ? 1 : 0);
    return (x >> exponent) + (remainder > threshold ? 1 : 0);
}

/* x << n with wrap-around (a plain << of a negative or overflowing int is undefined). */
static inline int32_t edged_shift_left(int32_t x, int32_t n) { return (int32_t)((uint32_t)x << n); }

/* a + b with wrap-around: what SIMD additions of accumulators do. */
static inline int32_t edged_wrapping_add(int32_t a, int32_t b) { return (int32_t)((uint32_t)a + (uint32_t)b); }

/* MultiplyByQuantizedMultiplier with two roundings. shift in -31..31. */
static inline int32_t edged_requantise(int32_t x, int32_t multiplier, int32_t shift) {
    const int32_t left = shift > 0 ? shift : 0;
    const int32_t right = shift > 0 ? 0 : -shift;
    return edged_rounding_shift(edged_doubling_high_mul(edged_shift_left(x, left), multiplier), right);
}

/* MultiplyByQuantizedMultiplier of a 64-bit accumulator (int16 activations): the multiplier is reduced to 16 bits and the product is rounded once.
 * x within 48 bits; shift in -31..7. */
static inline int32_t edged_requantise_wide(int64_t x, int32_t multiplier, int32_t shift) {
    const int32_t reduced = multiplier < 0x7FFF0000 ? (multiplier + (1 << 15)) >> 16 : 0x7FFF;
    const int32_t total = 15 - shift;
    const int64_t product = (int64_t)((uint64_t)x * (uint64_t)(int64_t)reduced + ((uint64_t)1 << (total - 1)));
    return (int32_t)(product >> total);
}

static inline int32_t edged_clamp(int32_t x, int32_t low, int32_t high) {
    return x < low ? low : (x > high ? high : x);
}

static inline float edged_clamp_f32(float x, float low, float high) {
    /* Written so that NaN passes through. */
    x = x < low ? low : x;
    return x > high ? high : x;
}

#endif
