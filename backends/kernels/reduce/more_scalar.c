/* The rarer reductions: quantised products, means of plain integers, uint8 sums through floats, extremes of unsigned bytes. */
#include "../fixedpoint.h"
#include "reduce.h"

#define PLAIN(op, T, U, A, FIRST, STEP, FINISH) EDGED_REDUCE(op##_scalar, edged_reduce_params, T, U, A, FIRST, STEP, FINISH)
#define SCALED(op, T, U, A, FIRST, STEP, FINISH) EDGED_REDUCE(op##_scalar, edged_reduce_more_params, T, U, A, FIRST, STEP, FINISH)

static inline int64_t limited(int64_t x, int64_t low, int64_t high) { return x < low ? low : (x > high ? high : x); }

/* `factor` is the number of elements. */
PLAIN(mean_s32, int32_t, int32_t, int64_t, 0, a + v, a / (int64_t)p->factor)
PLAIN(mean_s64, int64_t, int64_t, int64_t, 0, (int64_t)((uint64_t)a + (uint64_t)v), a / (int64_t)p->factor)
PLAIN(reduce_max_u8, uint8_t, uint8_t, uint8_t, 0, v > a ? v : a, a)
PLAIN(reduce_min_u8, uint8_t, uint8_t, uint8_t, UINT8_MAX, v < a ? v : a, a)

/* Each product is rescaled, the first element is not (LiteRT's QuantizedReduceProd). */
#define FACTOR(a, v) edged_requantise_wide((a) * ((v) - p->zero_in), p->multiplier, p->shift)
#define PRODUCT(suffix, T, LOW, HIGH)                                                                                            \
    SCALED(scaled_prod_##suffix, T, T, int64_t, INT64_MIN, a == INT64_MIN ? v - p->zero_in : FACTOR(a, v),                       \
           limited((int64_t)edged_requantise_wide(a, p->multiplier, p->shift) + p->zero_out, LOW, HIGH))

PRODUCT(s8, int8_t, INT8_MIN, INT8_MAX)
PRODUCT(s16, int16_t, INT16_MIN, INT16_MAX)

/* One float multiplication and addition; halves away from zero. */
static inline int64_t rounded(float x) {
    const float size = x < 0.0f ? -x : x;
    const float kept = size < 1e9f ? size : 1e9f;
    const int64_t whole = (int64_t)kept, up = kept - (float)whole >= 0.5f;
    return x < 0.0f ? -(whole + up) : whole + up;
}

SCALED(float_sum_s8, int8_t, int8_t, int32_t, 0, a + v,
       limited(rounded((float)(a + p->offset) * p->scale + p->bias) + p->zero_out, INT8_MIN, INT8_MAX))
