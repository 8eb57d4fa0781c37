/* Float activations with integer weights, where conv_hybrid does not apply: weights with a scale for every block of columns, and the two ends of a
 * float kernel that is run on whole numbers. */
#include "../abi.h"
#include "../fixedpoint.h"
#include "../params.h"

/* Source: EvalBlockwise4Bit of TFLite's fully_connected.cc. */
static float blocks(const edged_fc_blockwise_params *p, const int8_t *x, const int8_t *w, const float *factors, int32_t zero) {
    float total = 0.0f;
    for (int32_t at = 0, b = 0; at < p->depth; at += p->size, b++) {
        int32_t sum = 0, all = 0;
        for (int32_t i = at; i < at + p->size; i++) {
            sum += (int16_t)x[i] * (int16_t)w[i];
            all += w[i];
        }
        total += (float)(sum - zero * all) * factors[b];
    }
    return total;
}

void fc_blockwise_scalar(const void *params, void *const *operands, const edged_task *task) {
    const edged_fc_blockwise_params *p = params;
    const float *scales = operands[2], *factors = operands[5], *bias = operands[6];
    const int32_t *zeros = operands[3], count = p->depth / p->size;
    for (ptrdiff_t o = task->begin; o < (ptrdiff_t)task->end; o++) {
        for (ptrdiff_t r = 0; r < p->rows; r++) {
            const float sum = blocks(p, (const int8_t *)operands[1] + r * p->depth, (const int8_t *)operands[4] + o * p->depth, factors + o * count, zeros[r]);
            const float value = sum * scales[r] + (bias == NULL ? 0.0f : bias[o]);
            ((float *)operands[0])[r * p->out_c + o] = edged_clamp_f32(value, p->act_min, p->act_max);
        }
    }
}

void centre_rows_scalar(const void *params, void *const *operands, const edged_task *task) {
    const edged_centre_rows_params *p = params;
    for (ptrdiff_t r = task->begin; r < (ptrdiff_t)task->end; r++) {
        const int32_t zero = ((const int32_t *)operands[2])[r];
        const int8_t *in = (const int8_t *)operands[1] + r * p->n;
        float *out = (float *)operands[0] + r * p->n;
        for (int32_t i = 0; i < p->n; i++) out[i] = (float)(in[i] - zero);
    }
}

void scale_rows_scalar(const void *params, void *const *operands, const edged_task *task) {
    const edged_scale_rows_params *p = params;
    const float *scales = operands[2], *weights = operands[3], *bias = operands[4];
    for (ptrdiff_t r = task->begin; r < (ptrdiff_t)task->end; r++) {
        const float *in = (const float *)operands[1] + r * p->channels;
        float *out = (float *)operands[0] + r * p->channels;
        const float scale = scales[r / p->rows];
        for (int32_t c = 0; c < p->channels; c++) {
            const float value = in[c] * (scale * weights[c]) + (bias == NULL ? 0.0f : bias[c]);
            out[c] = edged_clamp_f32(value, p->act_min, p->act_max);
        }
    }
}
