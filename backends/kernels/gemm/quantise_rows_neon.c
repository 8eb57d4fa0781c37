/* quantise_rows on NEON: the bounds of a row and its conversion, sixteen floats at a time. */
#define KERNEL_NAME(op) op##_neon
#include <arm_neon.h>
#include <stdint.h>

#define UNROLL4 _Pragma("GCC unroll 4")

/* Least and greatest of the row and 0; comparisons are false for NaN, as in the portable form. */
static void bounds_neon(const float *row, int32_t n, float *least, float *most) {
    float32x4_t low[4], high[4];
    UNROLL4 for (int v = 0; v < 4; v++) low[v] = high[v] = vdupq_n_f32(0.0f);
    int32_t i = 0;
    for (; i + 16 <= n; i += 16)
        UNROLL4 for (int v = 0; v < 4; v++) {
            const float32x4_t x = vld1q_f32(row + i + 4 * v);
            low[v] = vbslq_f32(vcltq_f32(x, low[v]), x, low[v]);
            high[v] = vbslq_f32(vcgtq_f32(x, high[v]), x, high[v]);
        }
    float l = vminvq_f32(vminq_f32(vminq_f32(low[0], low[1]), vminq_f32(low[2], low[3])));
    float h = vmaxvq_f32(vmaxq_f32(vmaxq_f32(high[0], high[1]), vmaxq_f32(high[2], high[3])));
    for (; i < n; i++) {
        l = row[i] < l ? row[i] : l;
        h = row[i] > h ? row[i] : h;
    }
    *least = l;
    *most = h;
}

/* Ties away from zero, as std::round has it. A NaN becomes the least value: of it and a number, fmaxnm takes the number. */
static inline int32x4_t converted(float32x4_t x, float32x4_t inverse, float32x4_t zero) {
    const float32x4_t v = vaddq_f32(zero, vmulq_f32(x, inverse));
    return vcvtaq_s32_f32(vminnmq_f32(vmaxnmq_f32(v, vdupq_n_f32(-1000.0f)), vdupq_n_f32(1000.0f)));
}

static inline int8x16_t sixteen(const float *row, float32x4_t inverse, float32x4_t zero, int8x16_t least) {
    int16x4_t words[4];
    UNROLL4 for (int v = 0; v < 4; v++) words[v] = vmovn_s32(converted(vld1q_f32(row + 4 * v), inverse, zero));
    const int8x8_t first = vqmovn_s16(vcombine_s16(words[0], words[1])), last = vqmovn_s16(vcombine_s16(words[2], words[3]));
    return vmaxq_s8(vcombine_s8(first, last), least);
}

static void convert_neon(const float *row, int8_t *to, int32_t n, float inverse, float zero, int32_t least) {
    const float32x4_t inverses = vdupq_n_f32(inverse), zeros = vdupq_n_f32(zero);
    const int8x16_t floor = vdupq_n_s8((int8_t)least);
    int32_t i = 0;
    for (; i + 16 <= n; i += 16) vst1q_s8(to + i, sixteen(row + i, inverses, zeros, floor));
    if (i == n) return;
    float some[16] = {0};
    int8_t done[16];
    for (int32_t j = i; j < n; j++) some[j - i] = row[j];
    vst1q_s8(done, sixteen(some, inverses, zeros, floor));
    for (int32_t j = i; j < n; j++) to[j] = done[j - i];
}

#define ROW_BOUNDS bounds_neon
#define CONVERT_ROW convert_neon
#include "quantise_rows.inc"
