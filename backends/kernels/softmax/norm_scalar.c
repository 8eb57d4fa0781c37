/* Quantised L2 normalisation and logarithm of the softmax, as TFLite computes them (kernels/internal/reference/integer_ops/l2normalization.h;
 * optimized_ops.h, LogSoftmax and log_x_for_x_greater_than_or_equal_to_1): bit-identical to edged.graph.ops.normalise, .softmax, .logarithm. */
#include <stddef.h>

#include "../abi.h"
#include "../fixed_functions.h"
#include "../params.h"

void l2_norm_s8_scalar(const void *params, void *const *operands, const edged_task *task) {
    const edged_l2_norm_s8_params *p = params;
    for (uint32_t row = task->begin; row < task->end; row++) {
        const int8_t *in = (const int8_t *)operands[1] + (ptrdiff_t)row * p->depth;
        int8_t *out = (int8_t *)operands[0] + (ptrdiff_t)row * p->depth;
        uint32_t total = 0;
        int32_t inverse, right;
        for (int32_t i = 0; i < p->depth; i++) total += (uint32_t)((in[i] - p->zero_in) * (in[i] - p->zero_in));
        edged_inverse_sqrt((int32_t)total, &inverse, &right);
        for (int32_t i = 0; i < p->depth; i++) {
            const int32_t x = edged_shift_left(in[i] - p->zero_in, p->before);
            out[i] = (int8_t)edged_clamp(edged_requantise(x, inverse, p->after - right), INT8_MIN, INT8_MAX);
        }
    }
}

/* ---- log softmax ---- */

enum { SUM_BITS = 12, WORK_BITS = 6, LOG_SHIFT = 22 };

/* (numerator, inverse of the denominator) of log near sqrt(sqrt(1/2)), r in [1/2, 1). */
static int32_t near_root(int32_t r, int32_t *inverse) {
    const int32_t root = 1805811301, p = (int32_t)(((int64_t)r + root + 1) >> 1), q = edged_shift_left(r - root, 1);
    const int32_t square = edged_doubling_high_mul(q, q);
    const int32_t inner = edged_wrapping_add(edged_wrapping_add(1057819769, q), edged_doubling_high_mul(square, 127690142));
    const int32_t cubed = edged_doubling_high_mul(edged_doubling_high_mul(q, square), 117049297);
    *inverse = edged_one_over_one_plus(edged_wrapping_add(edged_doubling_high_mul(p, inner), edged_doubling_high_mul(q, 638450708)));
    return edged_wrapping_add(edged_doubling_high_mul(q, r), cubed);
}

/* log of x > 0 with SUM_BITS integer bits, in 5. */
static int32_t log_above_one(int32_t x) {
    const int32_t half = 1518500250, quarter = 1 << 23; /* sqrt(1/2); 1/4 in WORK_BITS */
    const int32_t room = 32 - edged_bits_of((uint32_t)x), other = 31 - edged_bits_of((uint32_t)edged_doubling_high_mul(x, half));
    const int32_t first = edged_saturating_left(edged_doubling_high_mul(edged_saturating_left(x, room - 1), half), 1);
    const int32_t second = edged_saturating_left(x, other);
    const int32_t first_power = edged_saturate32((int64_t)edged_saturating_left(SUM_BITS - room, 31 - WORK_BITS) + quarter);
    const int32_t second_power = edged_saturate32((int64_t)edged_saturating_left(SUM_BITS - other, 31 - WORK_BITS) - quarter);
    const int32_t power = first_power > second_power ? first_power : second_power;
    int32_t inverse;
    const int32_t fraction = edged_rounding_shift(near_root(first < second ? first : second, &inverse), WORK_BITS);
    const int32_t total = edged_wrapping_add(edged_doubling_high_mul(power, 1488522236), edged_doubling_high_mul(fraction, inverse));
    return edged_saturating_left(total, 1);
}

void log_softmax_s8_scalar(const void *params, void *const *operands, const edged_task *task) {
    const edged_log_softmax_s8_params *p = params;
    const int32_t *table = operands[2];
    for (uint32_t row = task->begin; row < task->end; row++) {
        const int8_t *in = (const int8_t *)operands[1] + (ptrdiff_t)row * p->depth;
        int8_t *out = (int8_t *)operands[0] + (ptrdiff_t)row * p->depth;
        int32_t top = INT8_MIN, sum = 0;
        for (int32_t i = 0; i < p->depth; i++) top = in[i] > top ? in[i] : top;
        for (int32_t i = 0; i < p->depth; i++) sum += edged_rounding_shift(table[(top - in[i]) & 255], SUM_BITS);
        const int32_t log = log_above_one(sum > 0 ? sum : 1);
        const int32_t rest = edged_requantise(edged_wrapping_add(log, INT32_MIN), p->reverse, p->reverse_shift);
        const int32_t floor = rest > p->least - 1 ? rest : p->least - 1;
        for (int32_t i = 0; i < p->depth; i++) {
            const int32_t difference = in[i] - top, counted = difference >= p->least ? difference : 0;
            const int32_t scaled = edged_doubling_high_mul(edged_shift_left(counted, p->shift), p->multiplier);
            const int32_t value = edged_rounding_shift(edged_wrapping_add(scaled, -log), LOG_SHIFT) + INT8_MAX;
            out[i] = (int8_t)(difference > floor ? edged_clamp(value, INT8_MIN, INT8_MAX) : INT8_MIN);
        }
    }
}
