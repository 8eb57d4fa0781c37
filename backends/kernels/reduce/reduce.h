/* Walks the elements that one row of outputs is made of (reduce/params.inc states the layout). */
#ifndef EDGED_REDUCE_H
#define EDGED_REDUCE_H

#include "../abi.h"
#include "../params.h"

#define EDGED_REDUCE_BLOCK 64

/* The common beginning of the params structs of this family. */
typedef struct edged_reduction {
    int32_t k[4], s[4], r[4], t[4];
} edged_reduction;

static inline ptrdiff_t edged_reduce_start(const edged_reduction *d, uint32_t unit) {
    const uint32_t k1 = (uint32_t)d->k[1], k2 = (uint32_t)d->k[2];
    return (ptrdiff_t)(unit / k2 / k1) * d->s[0] + (ptrdiff_t)(unit / k2 % k1) * d->s[1] + (ptrdiff_t)(unit % k2) * d->s[2];
}

/* For every reduced element: `offset` from the row's start. */
#define EDGED_FOR_REDUCED(d, offset)                                                                                            \
    for (int32_t i0 = 0; i0 < (d)->r[0]; i0++)                                                                                   \
        for (int32_t i1 = 0; i1 < (d)->r[1]; i1++)                                                                               \
            for (int32_t i2 = 0; i2 < (d)->r[2]; i2++)                                                                           \
                for (ptrdiff_t offset = (ptrdiff_t)i0 * (d)->t[0] + (ptrdiff_t)i1 * (d)->t[1] + (ptrdiff_t)i2 * (d)->t[2],       \
                               left = (d)->r[3];                                                                                 \
                     left > 0; left--, offset += (d)->t[3])

/* A kernel over blocks of outputs: A the accumulator, STEP in a (so far) and v (element), FINISH an expression in a. */
#define EDGED_REDUCE_LOOPS(function, PARAMS_TYPE, T, U, A, FIRST, STEP, FINISH)                                                 \
    static inline void function##_block(U *restrict out, const T *in, int32_t n, const edged_reduction *d, const PARAMS_TYPE *p) { \
        A acc[EDGED_REDUCE_BLOCK];                                                                                               \
        const int32_t stride = d->s[3];                                                                                          \
        for (int32_t i = 0; i < n; i++) acc[i] = FIRST;                                                                          \
        EDGED_FOR_REDUCED(d, offset) {                                                                                           \
            const T *from = in + offset;                                                                                         \
            if (stride == 1) {                                                                                                   \
                for (int32_t i = 0; i < n; i++) {                                                                                \
                    const A a = acc[i], v = (A)from[i];                                                                          \
                    acc[i] = STEP;                                                                                               \
                }                                                                                                                \
            } else {                                                                                                             \
                for (int32_t i = 0; i < n; i++) {                                                                                \
                    const A a = acc[i], v = (A)from[(ptrdiff_t)i * stride];                                                      \
                    acc[i] = STEP;                                                                                               \
                }                                                                                                                \
            }                                                                                                                    \
        }                                                                                                                        \
        for (int32_t i = 0; i < n; i++) {                                                                                        \
            const A a = acc[i];                                                                                                  \
            out[i] = (U)(FINISH);                                                                                                \
        }                                                                                                                        \
        (void)p;                                                                                                                 \
    }                                                                                                                            \
    void function(const void *params, void *const *operands, const edged_task *task) {                                           \
        const edged_reduction *d = params;                                                                                       \
        for (uint32_t unit = task->begin; unit < task->end; unit++) {                                                            \
            const T *in = (const T *)operands[1] + edged_reduce_start(d, unit);                                                  \
            U *out = (U *)operands[0] + (ptrdiff_t)unit * d->k[3];                                                               \
            int32_t c = 0;                                                                                                       \
            for (; c + EDGED_REDUCE_BLOCK <= d->k[3]; c += EDGED_REDUCE_BLOCK) {                                                 \
                function##_block(out + c, in + (ptrdiff_t)c * d->s[3], EDGED_REDUCE_BLOCK, d, params);                           \
            }                                                                                                                    \
            if (c < d->k[3]) function##_block(out + c, in + (ptrdiff_t)c * d->s[3], d->k[3] - c, d, params);                     \
        }                                                                                                                        \
    }

/* (one more expansion, for names that are macros themselves) */
#define EDGED_REDUCE(function, PARAMS_TYPE, T, U, A, FIRST, STEP, FINISH)                                                       \
    EDGED_REDUCE_LOOPS(function, PARAMS_TYPE, T, U, A, FIRST, STEP, FINISH)

#endif
