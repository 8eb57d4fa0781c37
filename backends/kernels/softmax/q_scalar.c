/* 8-bit softmax in fixed point, as TFLite Micro computes it (kernels/internal/reference/softmax.h on gemmlowp/fixedpoint). */
#include "../abi.h"
#include "../fixedpoint.h"
#include "../params.h"

enum { ACCUMULATION_BITS = 12 };

/* x << n where it fits, else the nearest int32. */
static int32_t saturating_left(int32_t x, int32_t n) {
    const int64_t wide = (int64_t)x * ((int64_t)1 << n);
    return wide > INT32_MAX ? INT32_MAX : wide < INT32_MIN ? INT32_MIN : (int32_t)wide;
}

/* 1 / (1 + a) for a in [0, 1), both Q0.31: three steps of Newton and Raphson in Q2.29. */
static int32_t one_over_one_plus(int32_t a) {
    const int64_t sum = (int64_t)a + INT32_MAX;
    const int32_t half = (int32_t)((sum + 1) / 2), one = 1 << 29;
    int32_t x = edged_wrapping_add(1515870810, edged_doubling_high_mul(half, -1010580540));
    for (int i = 0; i < 3; i++) {
        const int32_t rest = one - edged_doubling_high_mul(half, x);
        x = edged_wrapping_add(x, saturating_left(edged_doubling_high_mul(x, rest), 2));
    }
    return saturating_left(x, 1);
}

static int32_t leading_zeros(uint32_t x) {
    int32_t n = 0;
    for (uint32_t bit = UINT32_C(1) << 31; n < 32 && (x & bit) == 0; bit >>= 1) n++;
    return n;
}

void softmax_s8_scalar(const void *params, void *const *operands, const edged_task *task) {
    const edged_softmax_s8_params *p = params;
    const int32_t *table = operands[2];
    for (uint32_t row = task->begin; row < task->end; row++) {
        const int8_t *in = (const int8_t *)operands[1] + (ptrdiff_t)row * p->depth;
        int8_t *out = (int8_t *)operands[0] + (ptrdiff_t)row * p->depth;
        int8_t top = INT8_MIN;
        uint32_t sum = 0;
        for (int32_t i = 0; i < p->depth; i++) top = in[i] > top ? in[i] : top;
        for (int32_t i = 0; i < p->depth; i++) {
            /* & 255: another reading of a value that a client is changing must not leave the table */
            sum += (uint32_t)edged_rounding_shift(table[(top - in[i]) & 255], ACCUMULATION_BITS);
        }
        const int32_t headroom = leading_zeros(sum);
        const uint32_t shifted = headroom < 32 ? sum << headroom : 0;
        const int32_t scale = one_over_one_plus((int32_t)(shifted - (UINT32_C(1) << 31)));
        /* 32 and more (a flat row of over 512) leave less than half a unit of any share; TFLite Micro stops there. */
        const int32_t shift = ACCUMULATION_BITS - headroom + 31 - 8;
        for (int32_t i = 0; i < p->depth; i++) {
            const int32_t share = edged_doubling_high_mul(scale, table[(top - in[i]) & 255]);
            const int32_t unit = shift > 31 ? 0 : edged_rounding_shift(share, shift < 0 ? 0 : shift);
            out[i] = (int8_t)edged_clamp(unit - 128, -128, 127);
        }
    }
}
