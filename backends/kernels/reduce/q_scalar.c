/* Quantised sum and mean, and integer reductions, portable C. */
#define KERNEL_NAME(op) op##_scalar
#include "q.inc"

#define INTEGER(op, T, U, A, FIRST, STEP, FINISH) EDGED_REDUCE(op##_scalar, edged_reduce_params, T, U, A, FIRST, STEP, FINISH)

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
