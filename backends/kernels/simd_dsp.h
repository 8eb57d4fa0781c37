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

/* (out of line, and one for all files: what is taken for it is rare) */
__attribute__((noinline, weak)) int32_t edged_requantise_any(int32_t x, int32_t multiplier, int32_t shift);
__attribute__((noinline, weak)) int32_t edged_requantise_any(int32_t x, int32_t multiplier, int32_t shift) {
    return edged_requantise(x, multiplier, shift);
}

/* edged_requantise(x, multiplier, shift). SMMULR is the doubling high product of half of its first operand, so x is doubled, where that fits. Ties away
 * from zero are ties up of v - (v < 0); |v| <= 2^30 then, and neither step to the right can overflow. */
static inline int32_t edged_rescaled(int32_t x, int32_t multiplier, int32_t shift) {
    int32_t twice, v;
    if (shift >= 0 || __builtin_add_overflow(x, x, &twice)) return edged_requantise_any(x, multiplier, shift);
    __asm__("smmulr %0, %1, %2" : "=r"(v) : "r"(twice), "r"(multiplier));
    return (((v + (v >> 31)) >> (-shift - 1)) + 1) >> 1;
}

/* An int8 output: x rescaled, the zero point, and the bounds; `full`: they are those of int8. */
static inline int32_t edged_finished_s8(int32_t x, int32_t multiplier, int32_t shift, int32_t zero, int32_t full, int32_t low, int32_t high) {
    const int32_t v = edged_wrapping_add(edged_rescaled(x, multiplier, shift), zero);
    return full ? __ssat(v, 8) : edged_clamp(v, low, high);
}

#endif
