/* Helium (armv8.1-m MVE): copies, sums, and requantisation of four values at once. */
#ifndef EDGED_SIMD_MVE_H
#define EDGED_SIMD_MVE_H

#include <arm_mve.h>
#include <stddef.h>
#include <stdint.h>

/* `n` bytes. The loop is predicated by its count (WLSTP), which gcc 12 makes no use of by itself. */
static inline void edged_copy(int8_t *to, const int8_t *from, int32_t n) {
    __asm__ volatile("wlstp.8  lr, %[n], 2f\n"
                     "1:\n"
                     "vldrb.8  q0, [%[from]], #16\n"
                     "vstrb.8  q0, [%[to]], #16\n"
                     "letp     lr, 1b\n"
                     "2:\n"
                     : [to] "+r"(to), [from] "+r"(from)
                     : [n] "r"(n)
                     : "q0", "lr", "memory");
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
