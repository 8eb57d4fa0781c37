/* What the int8 tiles of every NEON level share: the tile's fields, and the way from int32 sums to int8 outputs.
 * Included by a tile header, which has defined S8_ROWS, S8_BLOCKS, S8_LANES and s8_copied. */
#ifndef EDGED_TILE_S8_NEON_H
#define EDGED_TILE_S8_NEON_H

#include <arm_neon.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "../fixedpoint.h"
#include "../params.h"

#define UNROLL _Pragma("GCC unroll 16")

typedef struct s8_tile {
    const s8_copied *base;
    const int32_t *rows;         /* element offset of each row's depth from base */
    const int32_t *segments;     /* element offset of each segment from its row */
    int32_t segment_count;
    ptrdiff_t length;            /* elements of a segment; read in groups, the last one whole */
    const int8_t *weights;
    ptrdiff_t stride;            /* bytes from one block of channels to the next */
    const int32_t *bias;
    int32_t *sums;               /* [S8_BLOCKS][S8_ROWS][S8_LANES] */
} s8_tile;

typedef void s8_tile_function(const s8_tile *t);

/* One vector of four sums through TFLite's requantisation: sqrdmulh is its doubling high multiply, and the sign's fix-up
 * turns srshl's ties (upwards) into ties away from zero, as gemmlowp does it. `right` is not positive. */
static inline int32x4_t requantise_x4(int32x4_t x, int32x4_t multiplier, int32x4_t left, int32x4_t right) {
    x = vqrdmulhq_s32(vshlq_s32(x, left), multiplier);
    x = vsraq_n_s32(x, vandq_s32(x, right), 31);
    return vrshlq_s32(x, right);
}

/* TFLite's ADD of a finished output and the residual. */
static inline int32_t finish_add(const edged_conv_s8_params *p, int32_t v, int32_t r) {
    const int32_t a = edged_requantise(edged_shift_left(v - p->output_zero, 20), p->mult1, p->shift1);
    const int32_t b = edged_requantise(edged_shift_left(r - p->zero2, 20), p->mult2, p->shift2);
    const int32_t sum = edged_requantise(edged_wrapping_add(a, b), p->mult3, p->shift3);
    return edged_clamp(edged_wrapping_add(sum, p->zero3), p->add_min, p->add_max);
}

/* The same for four lanes: every shift is the same in all of them. */
static inline int32x4_t requantise_all(int32x4_t x, int32_t multiplier, int32_t shift) {
    return requantise_x4(x, vdupq_n_s32(multiplier), vdupq_n_s32(shift > 0 ? shift : 0), vdupq_n_s32(shift > 0 ? 0 : shift));
}

static inline int32x4_t finish_add_x4(const edged_conv_s8_params *p, int32x4_t v, int32x4_t r) {
    const int32x4_t a = requantise_all(vshlq_n_s32(vsubq_s32(v, vdupq_n_s32(p->output_zero)), 20), p->mult1, p->shift1);
    const int32x4_t b = requantise_all(vshlq_n_s32(vsubq_s32(r, vdupq_n_s32(p->zero2)), 20), p->mult2, p->shift2);
    const int32x4_t sum = vaddq_s32(requantise_all(vaddq_s32(a, b), p->mult3, p->shift3), vdupq_n_s32(p->zero3));
    return vminq_s32(vmaxq_s32(sum, vdupq_n_s32(p->add_min)), vdupq_n_s32(p->add_max));
}

static inline int32x4_t load_s8_x4(const int8_t *from) {
    int32_t four;
    memcpy(&four, from, 4);
    return vmovl_s16(vget_low_s16(vmovl_s8(vreinterpret_s8_s32(vdup_n_s32(four)))));
}

/* What the outputs of one vector of four channels need. */
typedef struct finish_x4 {
    int32x4_t multiplier, left, right;
} finish_x4;

static inline finish_x4 finish_of(const int32_t *multiplier, const int32_t *shift) {
    const int32x4_t s = vld1q_s32(shift), zero = vdupq_n_s32(0);
    return (finish_x4){vld1q_s32(multiplier), vmaxq_s32(s, zero), vminq_s32(s, zero)};
}

/* Four finished outputs, clamped, as int32. `less` is what the zero point of the weights adds. */
static inline int32x4_t finish_four(const finish_x4 *f, const edged_conv_s8_params *p, int32x4_t sum, int32x4_t less) {
    const int32x4_t v = vaddq_s32(requantise_x4(vsubq_s32(sum, less), f->multiplier, f->left, f->right), vdupq_n_s32(p->output_zero));
    return vminq_s32(vmaxq_s32(v, vdupq_n_s32(p->act_min)), vdupq_n_s32(p->act_max));
}

/* Stores `lanes` (1 ... 4) of four values that fit int8. */
static inline void store_s8_x4(int8_t *out, int32x4_t v, int32_t lanes) {
    const int16x4_t words = vmovn_s32(v);
    const int8x8_t bytes = vmovn_s16(vcombine_s16(words, words));
    if (lanes >= 4) {
        vst1_lane_s32((int32_t *)(void *)out, vreinterpret_s32_s8(bytes), 0);
        return;
    }
    int8_t each[8];
    vst1_s8(each, bytes);
    for (int32_t n = 0; n < lanes; n++) out[n] = each[n];
}

#endif
