/* Depthwise f32, NEON. */
#include <arm_neon.h>

/* A mask is the number of lanes that count, 1 ... 4. */
static inline float32x4_t load_some(const float *p, int n) {
    float32x4_t v = vdupq_n_f32(0);
    v = vld1q_lane_f32(p, v, 0);
    if (n > 1) v = vld1q_lane_f32(p + 1, v, 1);
    if (n > 2) v = vld1q_lane_f32(p + 2, v, 2);
    if (n > 3) v = vld1q_lane_f32(p + 3, v, 3);
    return v;
}

static inline void store_some(float *p, int n, float32x4_t v) {
    vst1q_lane_f32(p, v, 0);
    if (n > 1) vst1q_lane_f32(p + 1, v, 1);
    if (n > 2) vst1q_lane_f32(p + 2, v, 2);
    if (n > 3) vst1q_lane_f32(p + 3, v, 3);
}

#define KERNEL_NAME(op) op##_neon
#define LANES 4
#define VECTOR float32x4_t
#define MASK int
#define MASK_OF(n) (n)
#define LOAD(p) vld1q_f32(p)
#define LOAD_MASKED(p, m) load_some(p, m)
#define STORE(p, v) vst1q_f32(p, v)
#define STORE_MASKED(p, m, v) store_some(p, m, v)
#define FMA(a, b, c) vfmaq_f32(c, a, b)
#define MIN(a, b) vminq_f32(a, b)
#define MAX(a, b) vmaxq_f32(a, b)
#define SET1(x) vdupq_n_f32(x)
#define MANY_REGISTERS
#pragma GCC diagnostic ignored "-Wmissing-braces"    /* what arm_neon.h makes of vdupq_n in an initialiser */
#include "f32.inc"
