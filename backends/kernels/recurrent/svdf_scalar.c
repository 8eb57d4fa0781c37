/* SVDF, portable C. */
#include "../abi.h"
#include "../fixedpoint.h"
#include "../params.h"

#include <string.h>

static float dot_f32(const float *a, const float *b, int32_t n) {
    float part[8] = {0.0f}, sum = 0.0f;
    int32_t i = 0;
    for (; i + 8 <= n; i += 8) {
        for (int32_t j = 0; j < 8; j++) part[j] += a[i + j] * b[i + j];
    }
    for (; i < n; i++) sum += a[i] * b[i];
    for (int32_t j = 0; j < 8; j++) sum += part[j];
    return sum;
}

void svdf_f32_scalar(const void *params, void *const *operands, const edged_task *task) {
    const edged_svdf_f32_params *p = params;
    const float *bias = operands[5];
    for (uint32_t unit = task->begin; unit < task->end; unit++) {
        const int32_t batch = (int32_t)unit / p->units, u = (int32_t)unit % p->units;
        const float *in = (const float *)operands[2] + (ptrdiff_t)batch * p->depth;
        float sum = bias != NULL ? bias[u] : 0.0f;
        for (int32_t r = 0; r < p->rank; r++) {
            const ptrdiff_t filter = (ptrdiff_t)u * p->rank + r;
            float *state = (float *)operands[1] + ((ptrdiff_t)batch * p->units * p->rank + filter) * p->memory;
            memmove(state, state + 1, (size_t)(p->memory - 1) * sizeof *state);
            state[p->memory - 1] = dot_f32(in, (const float *)operands[3] + filter * p->depth, p->depth);
            sum += dot_f32(state, (const float *)operands[4] + filter * p->memory, p->memory);
        }
        ((float *)operands[0])[unit] = edged_clamp_f32(sum, p->low, p->high);
    }
}

static int32_t feature(const edged_svdf_s8_params *p, const int8_t *in, const int8_t *weights, int32_t low, int32_t high) {
    int32_t sum = 0;
    for (int32_t i = 0; i < p->depth; i++) sum += (in[i] - p->zero_in) * weights[i];
    return edged_clamp(edged_requantise(sum, p->mul_in, p->shift_in), low, high) + p->zero_state;
}

#define SVDF(name, S, LOW, HIGH)                                                                                                \
    void name(const void *params, void *const *operands, const edged_task *task) {                                               \
        const edged_svdf_s8_params *p = params;                                                                                  \
        const int32_t *bias = operands[5];                                                                                       \
        for (uint32_t unit = task->begin; unit < task->end; unit++) {                                                            \
            const int32_t batch = (int32_t)unit / p->units, u = (int32_t)unit % p->units;                                        \
            const int8_t *in = (const int8_t *)operands[2] + (ptrdiff_t)batch * p->depth;                                        \
            uint32_t sum = bias != NULL ? (uint32_t)bias[u] : 0u;                                                                \
            for (int32_t r = 0; r < p->rank; r++) {                                                                              \
                const ptrdiff_t filter = (ptrdiff_t)u * p->rank + r;                                                             \
                S *state = (S *)operands[1] + ((ptrdiff_t)batch * p->units * p->rank + filter) * p->memory;                      \
                const S *time = (const S *)operands[4] + filter * p->memory;                                                     \
                memmove(state, state + 1, (size_t)(p->memory - 1) * sizeof *state);                                              \
                state[p->memory - 1] = (S)feature(p, in, (const int8_t *)operands[3] + filter * p->depth, LOW, HIGH);            \
                for (int32_t i = 0; i < p->memory; i++) sum += (uint32_t)((state[i] - p->zero_state) * time[i]);                 \
            }                                                                                                                    \
            const int32_t v = edged_wrapping_add(edged_requantise((int32_t)sum, p->mul_out, p->shift_out), p->zero_out);         \
            ((int8_t *)operands[0])[unit] = (int8_t)edged_clamp(v, -128, 127);                                                   \
        }                                                                                                                        \
    }

SVDF(svdf_s8_s16_scalar, int16_t, INT16_MIN, INT16_MAX)
SVDF(svdf_s8_s8_scalar, int8_t, INT8_MIN, INT8_MAX)
