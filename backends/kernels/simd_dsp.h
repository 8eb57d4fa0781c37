/* The 16-bit pairs of armv7e-m (Cortex-M4, M7, M33): four int8 become two words of two int16, which SMLAD multiplies and adds. */
#ifndef EDGED_SIMD_DSP_H
#define EDGED_SIMD_DSP_H

#include <arm_acle.h>
#include <stdint.h>
#include <string.h>

#include "fixedpoint.h"

/* Four bytes at any address. */
static inline uint32_t edged_load4(const int8_t *from) {
    uint32_t word;
    memcpy(&word, from, 4);
    return word;
}

/* The first n < 4 bytes, then zeros. */
static inline uint32_t edged_load_some(const int8_t *from, int32_t n) {
    uint32_t word = 0;
    for (int32_t i = 0; i < n; i++) word |= (uint32_t)(uint8_t)from[i] << (8 * i);
    return word;
}

/* Bytes 0 and 2, and bytes 1 and 3, as int16 pairs; with `add` (a pair) added to each. (The rotation is a part of the instruction, which
 * compilers do not see.) */
static inline int16x2_t edged_even(uint32_t word) { return __sxtb16((int8x4_t)word); }
static inline int16x2_t edged_even_plus(int16x2_t add, uint32_t word) { return __sxtab16(add, (int8x4_t)word); }

static inline int16x2_t edged_odd(uint32_t word) {
    int16x2_t pair;
    __asm__("sxtb16 %0, %1, ror #8" : "=r"(pair) : "r"(word));
    return pair;
}

static inline int16x2_t edged_odd_plus(int16x2_t add, uint32_t word) {
    int16x2_t pair;
    __asm__("sxtab16 %0, %1, %2, ror #8" : "=r"(pair) : "r"(add), "r"(word));
    return pair;
}

/* sum + the products of both halves, wrapping. */
static inline int32_t edged_dot2(int16x2_t a, int16x2_t b, int32_t sum) { return __smlad(a, b, sum); }

/* The same int16 twice. */
static inline int16x2_t edged_pair(int32_t v) { return (int16x2_t)(((uint32_t)v & 0xFFFFu) | ((uint32_t)v << 16)); }

/* clamp(edged_requantise(x, multiplier, shift) + zero, low, high) for bounds within int8: the same results in half the instructions.
 * Ties away from zero are ties up of x - (x < 0). Where the saturating additions differ from the plain ones, the result lies beyond
 * the bounds either way. */
static inline int32_t edged_finish_s8(int32_t x, int32_t multiplier, int32_t shift, int32_t zero, int32_t low, int32_t high) {
    int32_t v;
    if (shift >= 0) {
        v = edged_requantise(x, multiplier, shift);
    } else {
        v = (int32_t)(((int64_t)x * multiplier + (INT64_C(1) << 30)) >> 31);
        v = __qadd(v, v >> 31) >> (-shift - 1);
        v = __qadd(v, 1) >> 1;
    }
    return edged_clamp(edged_wrapping_add(v, zero), low, high);
}

#endif
