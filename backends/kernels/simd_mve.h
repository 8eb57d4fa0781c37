/* Helium (armv8.1-m MVE): dot products of 16 int8, and requantisation of four sums at once. */
#ifndef EDGED_SIMD_MVE_H
#define EDGED_SIMD_MVE_H

#include <arm_mve.h>
#include <stddef.h>
#include <stdint.h>

enum { EDGED_ROWS = 4 };

/* The products of one vector with four rows of weights, which lie `row` elements apart. The loop is predicated by its count (DLSTP), which gcc 12 makes
 * no use of by itself. */
static inline int32x4_t edged_four_rows(const int8_t *a, const int8_t *w, ptrdiff_t row, int32_t depth) {
    const int8_t *w1 = w + row, *w2 = w1 + row, *w3 = w2 + row;
    int32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0;
    __asm__ volatile("dlstp.8      lr, %[depth]\n"
            "1:\n"
            "vldrb.8      q0, [%[a]], #16\n"
            "vldrb.8      q1, [%[w]], #16\n"
            "vmladava.s8  %[s0], q0, q1\n"
            "vldrb.8      q1, [%[w1]], #16\n"
            "vmladava.s8  %[s1], q0, q1\n"
            "vldrb.8      q1, [%[w2]], #16\n"
            "vmladava.s8  %[s2], q0, q1\n"
            "vldrb.8      q1, [%[w3]], #16\n"
            "vmladava.s8  %[s3], q0, q1\n"
            "letp         lr, 1b\n"
            : [a] "+r"(a), [w] "+r"(w), [w1] "+r"(w1), [w2] "+r"(w2), [w3] "+r"(w3), [s0] "+Te"(s0), [s1] "+Te"(s1), [s2] "+Te"(s2),
              [s3] "+Te"(s3)
            : [depth] "r"(depth)
            : "q0", "q1", "lr", "memory");
    return (int32x4_t){s0, s1, s2, s3};
}

/* `n` bytes. */
static inline void edged_copy(int8_t *to, const int8_t *from, int32_t n) {
    for (; n > 0; n -= 16, to += 16, from += 16) vstrbq_p_s8(to, vldrbq_z_s8(from, vctp8q((uint32_t)n)), vctp8q((uint32_t)n));
}

static inline void edged_fill(int8_t *to, int8_t with, int32_t n) {
    for (; n > 0; n -= 16, to += 16) vstrbq_p_s8(to, vdupq_n_s8(with), vctp8q((uint32_t)n));
}

static inline int32_t edged_sum(const int8_t *a, int32_t n) {
    int32_t sum = 0;
    for (; n > 0; n -= 16, a += 16) sum = vaddvaq_s8(sum, vldrbq_z_s8(a, vctp8q((uint32_t)n)));
    return sum;
}

/* edged_requantise, four at a time. VQRDMULH is the saturating rounding doubling high product; VRSHL rounds ties up, so what is
 * negative and shifted right is made one less before. */
static inline int32x4_t edged_requantise_4(int32x4_t v, int32x4_t multiplier, int32x4_t shift) {
    const int32x4_t none = vdupq_n_s32(0), right = vminq_s32(shift, none);
    v = vqrdmulhq_s32(vshlq_s32(v, vmaxq_s32(shift, none)), multiplier);
    return vrshlq_s32(vqaddq_s32(v, vshrq_n_s32(vandq_s32(v, right), 31)), right);
}

static inline int32x4_t edged_clamp_4(int32x4_t v, int32_t low, int32_t high) {
    return vminq_s32(vmaxq_s32(v, vdupq_n_s32(low)), vdupq_n_s32(high));
}

#endif
