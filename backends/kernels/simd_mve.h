/* Helium (armv8.1-m MVE): dot products of 16 int8, and requantisation of four sums at once. */
#ifndef EDGED_SIMD_MVE_H
#define EDGED_SIMD_MVE_H

#include <arm_mve.h>
#include <stddef.h>
#include <stdint.h>

enum { EDGED_ROWS = 4 };

/* One vector with four rows of weights, which lie `row` elements apart. */
static inline void edged_four_rows(const int8_t *a, const int8_t *w, ptrdiff_t row, int32_t depth, int32_t sums[EDGED_ROWS]) {
    const int8_t *w1 = w + row, *w2 = w1 + row, *w3 = w2 + row;
    int32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0, k = depth;
    for (; k >= 16; k -= 16, a += 16, w += 16, w1 += 16, w2 += 16, w3 += 16) {
        const int8x16_t x = vldrbq_s8(a);
        s0 = vmladavaq_s8(s0, x, vldrbq_s8(w));
        s1 = vmladavaq_s8(s1, x, vldrbq_s8(w1));
        s2 = vmladavaq_s8(s2, x, vldrbq_s8(w2));
        s3 = vmladavaq_s8(s3, x, vldrbq_s8(w3));
    }
    if (k > 0) {
        const mve_pred16_t some = vctp8q((uint32_t)k);
        const int8x16_t x = vldrbq_z_s8(a, some);
        s0 = vmladavaq_s8(s0, x, vldrbq_z_s8(w, some));
        s1 = vmladavaq_s8(s1, x, vldrbq_z_s8(w1, some));
        s2 = vmladavaq_s8(s2, x, vldrbq_z_s8(w2, some));
        s3 = vmladavaq_s8(s3, x, vldrbq_z_s8(w3, some));
    }
    sums[0] = s0, sums[1] = s1, sums[2] = s2, sums[3] = s3;
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
