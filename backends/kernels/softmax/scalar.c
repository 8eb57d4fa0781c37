/* Normalisations of rows, portable C. */
#include <math.h>

#define KERNEL_NAME(op) op##_scalar
#define EXP(x) expf(x)
#include "rows.inc"

void lrn_f32_scalar(const void *params, void *const *operands, const edged_task *task) {
    const edged_lrn_f32_params *p = params;
    for (uint32_t row = task->begin; row < task->end; row++) {
        const float *in = (const float *)operands[1] + (ptrdiff_t)row * p->depth;
        float *out = (float *)operands[0] + (ptrdiff_t)row * p->depth;
        for (int32_t c = 0; c < p->depth; c++) {
            const int32_t first = c - p->radius < 0 ? 0 : c - p->radius;
            const int32_t end = c + p->radius + 1 > p->depth ? p->depth : c + p->radius + 1;
            float sum = 0.0f;
            for (int32_t i = first; i < end; i++) sum += in[i] * in[i];
            out[c] = in[c] * powf(p->bias + p->alpha * sum, -p->beta);
        }
    }
}
