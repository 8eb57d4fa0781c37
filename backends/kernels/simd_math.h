/* exp, logistic and tanh of f32 as straight-line C that compilers vectorise: no branches, no tables, no calls. Relative error below 3e-7
 * (exp, logistic) and 1e-6 (tanh). For SIMD files only: scalar kernels call libm.
 * Range reduction x = n ln 2 + r in two parts (Cody and Waite), then a Taylor polynomial of degree 7 on |r| <= ln 2 / 2 (its
 * remainder is below 6e-9).
 */
#ifndef EDGED_SIMD_MATH_H
#define EDGED_SIMD_MATH_H

#include <stdint.h>
#include <string.h>

static inline float edged_bits_f32(int32_t bits) {
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

/* exp(r) - 1 and n of exp(x) = 2^n exp(r). */
static inline float edged_exp_parts(float x, float *n) {
    const float magic = 12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer */
    *n = (x * 1.44269504f + magic) - magic;
    const float r = (x - *n * 0.693145752f) - *n * 1.42860677e-6f;
    float q = 1.0f / 5040.0f;
    q = q * r + 1.0f / 720.0f;
    q = q * r + 1.0f / 120.0f;
    q = q * r + 1.0f / 24.0f;
    q = q * r + 1.0f / 6.0f;
    q = q * r + 0.5f;
    return (q * r) * r + r;
}

/* exp. Below -87.3 the result would be subnormal and is 0; above 88.72 it is infinite. */
static inline float edged_exp_f32(float x) {
    const float bounded = x < -87.3f ? -87.3f : x > 88.8f ? 88.8f : x;
    float n;
    const float q = edged_exp_parts(bounded, &n);
    /* 2^n in two factors, so that n = 128 does not overflow before the product does. */
    const int32_t half = (int32_t)n >> 1, rest = (int32_t)n - half;
    const float value = (q + 1.0f) * edged_bits_f32((half + 127) << 23) * edged_bits_f32((rest + 127) << 23);
    return x < -87.3f ? 0.0f : x != x ? x : value;
}

static inline float edged_logistic_f32(float x) {
    const float e = edged_exp_f32(x < 0.0f ? x : -x); /* exp(-|x|), in (0, 1] */
    const float small = e / (1.0f + e), large = 1.0f / (1.0f + e);
    return x < 0.0f ? small : large;
}

/* exp(x) - 1 without cancellation near 0, for x <= 40. */
static inline float edged_expm1_f32(float x) {
    const float bounded = x < -20.0f ? -20.0f : x > 40.0f ? 40.0f : x;
    float n;
    const float q = edged_exp_parts(bounded, &n);
    const float scale = edged_bits_f32(((int32_t)n + 127) << 23);
    return x != x ? x : q * scale + (scale - 1.0f);
}

/* tanh(|x|) = m / (m + 2) with m = exp(2|x|) - 1. */
static inline float edged_tanh_f32(float x) {
    const float positive = x < 0.0f ? -x : x;
    const float m = edged_expm1_f32(positive > 10.0f ? 20.0f : 2.0f * positive);
    const float t = m / (m + 2.0f);
    return x != x ? x : x < 0.0f ? -t : t;
}

#endif
