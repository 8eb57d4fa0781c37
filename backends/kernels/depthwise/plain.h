/* The plain algorithm: blocks of output channels of one pixel, tap by tap. A macro over element and accumulator types. */
#ifndef EDGED_DEPTHWISE_PLAIN_H
#define EDGED_DEPTHWISE_PLAIN_H

#include "../abi.h"
#include "../params.h"
#include "taps.h"

#define EDGED_DW_BLOCK 64

/* IN, WEIGHT: terms of one tap in `v` (input) and `w`; START: the accumulator's first value for output channel c;
 * FINISH: the result from `a` and c. */
#define EDGED_DW_LOOPS(function, P, T, U, W, A, START, IN, WEIGHT, FINISH)                                                      \
    static inline void function##_block(U *restrict out, const T *in, int32_t first, int32_t n, const edged_taps *taps,          \
                                        const P *p, void *const *operands, int32_t image) {                                      \
        A acc[EDGED_DW_BLOCK];                                                                                                   \
        const int32_t out_c = p->channels * p->multiplier, m = p->multiplier;                                                    \
        for (int32_t i = 0, c = first; i < n; i++, c++) acc[i] = START;                                                          \
        for (int32_t ky = taps->y0; ky < taps->y1; ky++) {                                                                       \
            for (int32_t kx = taps->x0; kx < taps->x1; kx++) {                                                                   \
                const ptrdiff_t y = taps->top + ky * p->dilation_h, x = taps->left + kx * p->dilation_w;                         \
                const T *from = in + (y * p->in_w + x) * p->channels;                                                            \
                const W *weights = (const W *)operands[2] + (ptrdiff_t)(ky * p->kernel_w + kx) * out_c + first;                  \
                if (m == 1) {                                                                                                    \
                    from += first;                                                                                               \
                    for (int32_t i = 0; i < n; i++) {                                                                            \
                        const A v = from[i], w = weights[i];                                                                     \
                        acc[i] += (IN) * (WEIGHT);                                                                               \
                    }                                                                                                            \
                } else {                                                                                                         \
                    for (int32_t i = 0; i < n; i++) {                                                                            \
                        const A v = from[(first + i) / m], w = weights[i];                                                       \
                        acc[i] += (IN) * (WEIGHT);                                                                               \
                    }                                                                                                            \
                }                                                                                                                \
            }                                                                                                                    \
        }                                                                                                                        \
        for (int32_t i = 0, c = first; i < n; i++, c++) {                                                                        \
            const A a = acc[i];                                                                                                  \
            (void)c;                                                                                                             \
            out[i] = (U)(FINISH);                                                                                                \
        }                                                                                                                        \
        (void)image;                                                                                                             \
    }                                                                                                                            \
    void function(const void *params, void *const *operands, const edged_task *task) {                                           \
        const P *p = params;                                                                                                     \
        const int32_t out_c = p->channels * p->multiplier;                                                                       \
        for (uint32_t row = task->begin; row < task->end; row++) {                                                               \
            const int32_t image = (int32_t)row / p->out_h, y = (int32_t)row % p->out_h;                                          \
            const T *in = (const T *)operands[1] + (ptrdiff_t)image * p->in_h * p->in_w * p->channels;                           \
            U *out = (U *)operands[0] + (ptrdiff_t)row * p->out_w * out_c;                                                       \
            for (int32_t x = 0; x < p->out_w; x++, out += out_c) {                                                               \
                const edged_taps taps = EDGED_TAPS(p, y, x);                                                                     \
                int32_t c = 0;                                                                                                   \
                for (; c + EDGED_DW_BLOCK <= out_c; c += EDGED_DW_BLOCK) {                                                       \
                    function##_block(out + c, in, c, EDGED_DW_BLOCK, &taps, p, operands, image);                                 \
                }                                                                                                                \
                if (c < out_c) function##_block(out + c, in, c, out_c - c, &taps, p, operands, image);                                  \
            }                                                                                                                    \
        }                                                                                                                        \
    }

/* (one more expansion, for names that are macros themselves) */
#define EDGED_DW(function, P, T, U, W, A, START, IN, WEIGHT, FINISH) \
    EDGED_DW_LOOPS(function, P, T, U, W, A, START, IN, WEIGHT, FINISH)

#endif
