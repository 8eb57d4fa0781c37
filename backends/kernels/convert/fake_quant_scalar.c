/* Floats rounded to the steps of a quantisation, as TFLite's FAKE_QUANT (kernels/internal/reference/fake_quant.h). */
#include "../abi.h"
#include "../params.h"

void fake_quant_scalar(const void *params, void *const *operands, const edged_task *task) {
    const edged_fake_quant_params *p = params;
    float *out = operands[0];
    const float *in = operands[1];
    for (uint32_t i = task->begin; i < task->end; i++) {
        const float x = in[i], inside = x < p->low ? p->low : (x > p->high ? p->high : x);
        const float steps = (inside - p->low) * p->inverse;
        const float counted = steps < 65536.0f ? steps : 65536.0f; /* NaN stays out of the conversion */
        const int32_t whole = x == x ? (int32_t)counted : 0, up = counted - (float)whole >= 0.5f;
        out[i] = x == x ? (float)(whole + up) * p->scale + p->low : x;
    }
}
