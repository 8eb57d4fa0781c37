/* Quantised sum and mean, and integer reductions.
 * sum and mean: out = clamp(requantise(sum(in) - bias, multiplier, shift) + zero_out): the lowering folds zero_in * count into bias and
 * the count of a mean into multiplier and shift, as TFLite does. */
#include "../fixedpoint.h"
#include "reduce.h"

#define INTEGER(op, T, U, A, FIRST, STEP, FINISH) EDGED_REDUCE(op##_scalar, edged_reduce_params, T, U, A, FIRST, STEP, FINISH)

#define SCALED edged_clamp(edged_wrapping_add(edged_requantise((int32_t)(a - p->bias), p->multiplier, p->shift), p->zero_out), p->low, p->high)

EDGED_REDUCE(scaled_sum_s8_scalar, edged_reduce_q_params, int8_t, int8_t, int32_t, 0, a + v, SCALED)
EDGED_REDUCE(scaled_sum_s16_scalar, edged_reduce_q_params, int16_t, int16_t, int32_t, 0, a + v, SCALED)

#define ORDER(suffix, T, LEAST, GREATEST)                                                                                       \
    INTEGER(reduce_max_##suffix, T, T, T, LEAST, v > a ? v : a, a)                                                               \
    INTEGER(reduce_min_##suffix, T, T, T, GREATEST, v < a ? v : a, a)

ORDER(s8, int8_t, INT8_MIN, INT8_MAX)
ORDER(s16, int16_t, INT16_MIN, INT16_MAX)
ORDER(s32, int32_t, INT32_MIN, INT32_MAX)
ORDER(s64, int64_t, INT64_MIN, INT64_MAX)
INTEGER(sum_s32, int32_t, uint32_t, uint32_t, 0, a + v, a)
INTEGER(sum_s64, int64_t, uint64_t, uint64_t, 0, a + v, a)
INTEGER(prod_s32, int32_t, uint32_t, uint32_t, 1, a *v, a)
INTEGER(prod_s64, int64_t, uint64_t, uint64_t, 1, a *v, a)
INTEGER(any_bool, uint8_t, uint8_t, uint8_t, 0, (uint8_t)(a | (v != 0)), a)
INTEGER(all_bool, uint8_t, uint8_t, uint8_t, 1, (uint8_t)(a & (v != 0)), a)
