/* Fully connected, portable C: one dot product per row and output channel. Packed weights with NR = KR = 1 are the plain
 * [out_c][depth]. */
#include "../abi.h"
#include "../fixedpoint.h"
#include "../params.h"

static int32_t least(int32_t a, int32_t b) { return a < b ? a : b; }

void fc_s8_1x1_scalar(const void *params, void *const *operands, const edged_task *task) {
    const edged_fc_s8_params *p = params;
    const int32_t *bias = operands[3], *multiplier = operands[4], *shift = operands[5];
    const int32_t end = least((int32_t)task->end * p->columns, p->out_c);
    for (int32_t m = 0; m < p->rows; m++) {
        const int8_t *a = (const int8_t *)operands[1] + (ptrdiff_t)m * p->depth;
        int8_t *out = (int8_t *)operands[0] + (ptrdiff_t)m * p->out_c;
        for (int32_t n = (int32_t)task->begin * p->columns; n < end; n++) {
            const int8_t *w = (const int8_t *)operands[2] + (ptrdiff_t)n * p->depth;
            uint32_t sum = (uint32_t)bias[n];
            for (int32_t k = 0; k < p->depth; k++) sum += (uint32_t)((int32_t)a[k] * ((int32_t)w[k] - p->weight_zero));
            const int32_t v = edged_wrapping_add(edged_requantise((int32_t)sum, multiplier[n], shift[n]), p->output_zero);
            out[n] = (int8_t)edged_clamp(v, p->act_min, p->act_max);
        }
    }
}

void fc_f32_1x1_scalar(const void *params, void *const *operands, const edged_task *task) {
    const edged_fc_f32_params *p = params;
    const float *bias = operands[3];
    const int32_t end = least((int32_t)task->end * p->columns, p->out_c);
    for (int32_t m = 0; m < p->rows; m++) {
        const float *a = (const float *)operands[1] + (ptrdiff_t)m * p->depth;
        float *out = (float *)operands[0] + (ptrdiff_t)m * p->out_c;
        for (int32_t n = (int32_t)task->begin * p->columns; n < end; n++) {
            const float *w = (const float *)operands[2] + (ptrdiff_t)n * p->depth;
            float sum = 0.0f;
            for (int32_t k = 0; k < p->depth; k++) sum += a[k] * w[k];
            out[n] = edged_clamp_f32(sum + bias[n], p->act_min, p->act_max);
        }
    }
}
