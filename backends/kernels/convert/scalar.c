/* Quantise, dequantise, requantise, uint8 <-> int8 form. */
#define KERNEL_NAME(op) op##_scalar
#include "../fixedpoint.h"
#include "lanes.inc"

/* Clamped while still a float, so that no value overflows the conversion; NaN gives the zero point. */
void quantise_s32_scalar(const void *params, void *const *operands, const edged_task *task) {
    const edged_quantise_params *p = params;
    const float *in = operands[1];
    for (uint32_t i = task->begin; i < task->end; i++) {
        const double v = (double)roundf(in[i] / p->scale), shifted = v == v ? v + p->zero : p->zero;
        ((int32_t *)operands[0])[i] = shifted >= p->high ? p->high : shifted > p->low ? (int32_t)shifted : p->low;
    }
}

void dequantise_s32_scalar(const void *params, void *const *operands, const edged_task *task) {
    const edged_dequantise_params *p = params;
    const int32_t *in = operands[1];
    for (uint32_t i = task->begin; i < task->end; i++) ((float *)operands[0])[i] = (float)((int64_t)in[i] - p->zero) * p->scale;
}

void dequantise_channels_s8_scalar(const void *params, void *const *operands, const edged_task *task) {
    const edged_dequantise_channels_params *p = params;
    float *out = operands[0];
    const int8_t *in = operands[1];
    const float *scales = operands[2];
    const int32_t *zeros = operands[3];
    for (uint32_t i = task->begin; i < task->end; i++) {
        const uint32_t c = i / (uint32_t)p->inner % (uint32_t)p->channels;
        out[i] = (float)(in[i] - zeros[c]) * scales[c];
    }
}

#define REQUANTISE(name, T, U)                                                                                                  \
    void name(const void *params, void *const *operands, const edged_task *task) {                                               \
        const edged_requantise_params *p = params;                                                                               \
        U *out = operands[0];                                                                                                    \
        const T *in = operands[1];                                                                                               \
        for (uint32_t i = task->begin; i < task->end; i++) {                                                                     \
            const int32_t centred = edged_wrapping_add((int32_t)in[i], -p->zero_in);                                             \
            const int32_t v = edged_wrapping_add(edged_requantise(centred, p->multiplier, p->shift), p->zero_out);               \
            out[i] = (U)edged_clamp(v, p->low, p->high);                                                                         \
        }                                                                                                                        \
    }

REQUANTISE(requantise_s8_s16_scalar, int8_t, int16_t)
REQUANTISE(requantise_s8_s32_scalar, int8_t, int32_t)
REQUANTISE(requantise_s16_s8_scalar, int16_t, int8_t)
REQUANTISE(requantise_s16_s16_scalar, int16_t, int16_t)
REQUANTISE(requantise_s16_s32_scalar, int16_t, int32_t)
REQUANTISE(requantise_s32_s8_scalar, int32_t, int8_t)
REQUANTISE(requantise_s32_s16_scalar, int32_t, int16_t)
REQUANTISE(requantise_s32_s32_scalar, int32_t, int32_t)
