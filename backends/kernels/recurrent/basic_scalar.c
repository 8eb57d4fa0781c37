/* One step of LSTM's basic kernel: float32, or 8-bit activations with an int16 state of 4 integer bits. Source: LstmCell of TFLite's
 * internal/reference/lstm_cell.h, with the gates' last shift rounded upwards; the integer one is bit-identical to edged.graph.ops.lstm_basic. */
#include <math.h>
#include <stddef.h>

#include "../abi.h"
#include "../params.h"
#include "fixed16.h"

enum { INPUT_GATE = 0, UPDATE, FORGET_GATE, OUTPUT_GATE, GATES }; /* the rows of the weights, a gate's units together */

static float logistic(float x) { return 1.0f / (1.0f + expf(-x)); }

static float product(const float *x, const float *w, int32_t n) {
    float part[8] = {0.0f};
    for (int32_t i = 0; i < n; i++) part[i & 7] += x[i] * w[i];
    return ((part[0] + part[1]) + (part[2] + part[3])) + ((part[4] + part[5]) + (part[6] + part[7]));
}

void lstm_basic_f32_scalar(const void *params, void *const *operands, const edged_task *task) {
    const edged_lstm_basic_params *p = params;
    const int32_t n = p->units, width = p->depth + n;
    for (uint32_t b = task->begin; b < task->end; b++) {
        float *both = (float *)operands[2] + (ptrdiff_t)b * width, *gates = (float *)operands[3] + (ptrdiff_t)b * GATES * n;
        const float *in = (const float *)operands[4] + (ptrdiff_t)b * p->depth, *previous = (const float *)operands[5] + (ptrdiff_t)b * n;
        const float *weights = operands[6], *bias = operands[7], *state = (const float *)operands[8] + (ptrdiff_t)b * n;
        for (int32_t i = 0; i < width; i++) both[i] = i < p->depth ? in[i] : previous[i - p->depth];
        for (int32_t i = 0; i < GATES * n; i++) gates[i] = bias[i] + product(both, weights + (ptrdiff_t)i * width, width);
        for (int32_t u = 0; u < n; u++) {
            const float added = logistic(gates[u]) * tanhf(gates[UPDATE * n + u]);
            const float moved = added + logistic(gates[FORGET_GATE * n + u]) * state[u];
            ((float *)operands[1])[(ptrdiff_t)b * n + u] = moved;
            ((float *)operands[0])[(ptrdiff_t)b * n + u] = logistic(gates[OUTPUT_GATE * n + u]) * tanhf(moved);
        }
    }
}

/* 3 integer bits of 16, from the whole sum. */
static int32_t gate_of(const edged_lstm_basic_params *p, const int8_t *x, const int8_t *w, int32_t n, int32_t bias) {
    int32_t sum = bias;
    for (int32_t i = 0; i < n; i++) sum = edged_wrapping_add(sum, (x[i] - p->zero_in) * (w[i] - p->zero_weights));
    const int32_t left = p->shift > 0 ? p->shift : 0, right = p->shift > 0 ? 0 : -p->shift;
    const int64_t high = edged_doubling_high_mul(edged_shift_left(sum, left), p->multiplier);
    return edged_clip16((high + ((INT64_C(1) << right) >> 1)) >> right);
}

void lstm_basic_s8_scalar(const void *params, void *const *operands, const edged_task *task) {
    const edged_lstm_basic_params *p = params;
    const int32_t n = p->units, width = p->depth + n;
    for (uint32_t b = task->begin; b < task->end; b++) {
        int8_t *both = (int8_t *)operands[2] + (ptrdiff_t)b * width;
        int16_t *gates = (int16_t *)operands[3] + (ptrdiff_t)b * GATES * n;
        const int8_t *in = (const int8_t *)operands[4] + (ptrdiff_t)b * p->depth, *previous = (const int8_t *)operands[5] + (ptrdiff_t)b * n;
        const int8_t *weights = operands[6];
        const int32_t *bias = operands[7];
        const int16_t *state = (const int16_t *)operands[8] + (ptrdiff_t)b * n;
        for (int32_t i = 0; i < width; i++) both[i] = i < p->depth ? in[i] : previous[i - p->depth];
        for (int32_t i = 0; i < GATES * n; i++) gates[i] = (int16_t)gate_of(p, both, weights + (ptrdiff_t)i * width, width, bias[i]);
        for (int32_t u = 0; u < n; u++) {
            const int32_t chosen = edged_logistic_fixed16(gates[u], 3), update = edged_tanh_fixed16(gates[UPDATE * n + u], 3);
            const int32_t kept = edged_high_mul16(edged_logistic_fixed16(gates[FORGET_GATE * n + u], 3), state[u]);
            const int32_t moved = edged_clip16(edged_rounding_shift(edged_high_mul16(chosen, update), 4) + kept);
            const int32_t squashed = edged_tanh_fixed16(edged_raise16(moved, 1), 3);
            const int32_t result = edged_high_mul16(edged_logistic_fixed16(gates[OUTPUT_GATE * n + u], 3), squashed);
            ((int16_t *)operands[1])[(ptrdiff_t)b * n + u] = (int16_t)moved;
            ((int8_t *)operands[0])[(ptrdiff_t)b * n + u] = (int8_t)edged_clamp(edged_rounding_shift(result, 8), INT8_MIN, INT8_MAX);
        }
    }
}
