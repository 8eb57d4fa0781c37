/* Running sums, and rows joined by segment. */
#include <float.h>
#include <stddef.h>

#include "../abi.h"
#include "../fixedpoint.h"
#include "../params.h"

/* Walks each column of an [axis, inner] slab; ADD has the element x and the sum so far s. */
#define CUMSUM(suffix, T, S, PART, STORED)                                                                                       \
    void cumsum_##suffix##_scalar(const void *params, void *const *operands, const edged_task *task) {                           \
        const edged_cumsum_params *p = params;                                                                                   \
        const ptrdiff_t hop = p->reverse ? -(ptrdiff_t)p->inner : p->inner, slab = (ptrdiff_t)p->axis * p->inner;                \
        for (ptrdiff_t o = task->begin; o < (ptrdiff_t)task->end; o++) {                                                         \
            for (int32_t j = 0; j < p->inner; j++) {                                                                             \
                ptrdiff_t at = o * slab + j + (p->reverse ? slab - p->inner : 0);                                                \
                S s = 0;                                                                                                         \
                for (int32_t i = 0; i < p->axis; i++, at += hop) {                                                               \
                    const T x = ((const T *)operands[1])[at];                                                                    \
                    const S before = s;                                                                                          \
                    s = (S)(s + (PART));                                                                                         \
                    const S kept = p->exclusive ? before : s;                                                                    \
                    ((T *)operands[0])[at] = (T)(STORED);                                                                        \
                }                                                                                                                \
            }                                                                                                                    \
        }                                                                                                                        \
    }

static int32_t part(int32_t x, const edged_cumsum_params *p) {
    return edged_requantise(edged_shift_left(x - p->zero_in, 20), p->mul_in, p->shift_in);
}

static int32_t stored(uint32_t sum, const edged_cumsum_params *p) {
    const int64_t v = (int64_t)edged_requantise((int32_t)(sum + (uint32_t)p->start), p->mul_out, p->shift_out) + p->zero_out;
    return v < INT8_MIN ? INT8_MIN : (v > INT8_MAX ? INT8_MAX : (int32_t)v);
}

CUMSUM(f32, float, double, x, kept)
CUMSUM(s32, int32_t, uint32_t, (uint32_t)x, kept)
CUMSUM(s64, int64_t, uint64_t, (uint64_t)x, kept)
CUMSUM(s8, int8_t, uint32_t, (uint32_t)part(x, p), stored(kept, p))

/* EXPRESSION joins what is there, x, and the new row's element, y. */
#define SEGMENT(op, T, NEUTRAL, EXPRESSION)                                                                                      \
    void segment_##op##_scalar(const void *params, void *const *operands, const edged_task *task) {                              \
        const edged_segment_params *p = params;                                                                                  \
        const ptrdiff_t inner = p->inner;                                                                                        \
        (void)task;                                                                                                              \
        for (ptrdiff_t i = 0; i < p->segments * inner; i++) ((T *)operands[0])[i] = NEUTRAL;                                     \
        for (int32_t i = 0; i < p->rows; i++) {                                                                                  \
            const int32_t id = ((const volatile int32_t *)operands[2])[i]; /* read once: a client may change it */               \
            if (id < 0 || id >= p->segments) continue;                                                                           \
            T *out = (T *)operands[0] + id * inner;                                                                              \
            const T *row = (const T *)operands[1] + i * inner;                                                                   \
            for (ptrdiff_t j = 0; j < inner; j++) {                                                                              \
                const T x = out[j], y = row[j];                                                                                  \
                out[j] = (T)(EXPRESSION);                                                                                        \
            }                                                                                                                    \
        }                                                                                                                        \
    }

SEGMENT(sum_f32, float, 0, x + y)
SEGMENT(prod_f32, float, 1, x * y)
SEGMENT(max_f32, float, -FLT_MAX, x != x || x > y ? x : y)
SEGMENT(min_f32, float, FLT_MAX, x != x || x < y ? x : y)
SEGMENT(sum_s32, int32_t, 0, (uint32_t)x + (uint32_t)y)
SEGMENT(prod_s32, int32_t, 1, (uint32_t)x *(uint32_t)y)
SEGMENT(max_s32, int32_t, INT32_MIN, x > y ? x : y)
SEGMENT(min_s32, int32_t, INT32_MAX, x < y ? x : y)
