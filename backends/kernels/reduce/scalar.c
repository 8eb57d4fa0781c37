/* f32 reductions, portable C, and the index of an extreme. */
#define KERNEL_NAME(op) op##_scalar
#include "f32.inc"

#define ARG(name, T, BETTER)                                                                                                    \
    void name##_scalar(const void *params, void *const *operands, const edged_task *task) {                                      \
        const edged_arg_params *p = params;                                                                                      \
        for (uint32_t o = task->begin; o < task->end; o++) {                                                                     \
            const T *in = (const T *)operands[1] + (ptrdiff_t)o * p->axis * p->inner;                                            \
            for (int32_t i = 0; i < p->inner; i++) {                                                                             \
                int32_t at = 0;                                                                                                  \
                T best = in[i];                                                                                                  \
                for (int32_t k = 1; k < p->axis; k++) {                                                                          \
                    const T v = in[(ptrdiff_t)k * p->inner + i];                                                                 \
                    if (v BETTER best) {                                                                                         \
                        best = v;                                                                                                \
                        at = k;                                                                                                  \
                    }                                                                                                            \
                }                                                                                                                \
                const ptrdiff_t place = (ptrdiff_t)o * p->inner + i;                                                             \
                if (p->wide) {                                                                                                   \
                    ((int64_t *)operands[0])[place] = at;                                                                        \
                } else {                                                                                                         \
                    ((int32_t *)operands[0])[place] = at;                                                                        \
                }                                                                                                                \
            }                                                                                                                    \
        }                                                                                                                        \
    }

ARG(arg_max_f32, float, >)
ARG(arg_min_f32, float, <)
ARG(arg_max_s8, int8_t, >)
ARG(arg_min_s8, int8_t, <)
ARG(arg_max_s32, int32_t, >)
ARG(arg_min_s32, int32_t, <)
ARG(arg_max_u8, uint8_t, >)
ARG(arg_min_u8, uint8_t, <)
ARG(arg_max_s16, int16_t, >)
ARG(arg_min_s16, int16_t, <)
