/* 8-bit softmax in fixed point, as TFLite Micro computes it (kernels/internal/reference/softmax.h on gemmlowp/fixedpoint). */
#include "../abi.h"
#include "../fixed_functions.h"
#include "../params.h"

enum { ACCUMULATION_BITS = 12 };

static int32_t leading_zeros(uint32_t x) {
    int32_t n = 0;
    for (uint32_t bit = UINT32_C(1) << 31; n < 32 && (x & bit) == 0; bit >>= 1) n++;
    return n;
}

static int32_t greatest(const int8_t *in, int32_t n) {
    int8_t top = INT8_MIN;
    for (int32_t i = 0; i < n; i++) top = in[i] > top ? in[i] : top;
    return top;
}

/* One over the row's sum, and the shift that brings a share of it to `bits`. Shifts of 32 and more (a flat row of over 512, to 8 bits) leave less than
 * half a unit of any share; TFLite Micro stops there. An index is masked: another reading of a value that a client
 * is changing must not leave the table. */
static int32_t reciprocal(const int8_t *in, int32_t n, int32_t top, const int32_t *table, int32_t bits, int32_t *shift) {
    uint32_t sum = 0;
    for (int32_t i = 0; i < n; i++) sum += (uint32_t)edged_rounding_shift(table[(top - in[i]) & 255], ACCUMULATION_BITS);
    const int32_t headroom = leading_zeros(sum);
    *shift = ACCUMULATION_BITS - headroom + 31 - bits;
    return edged_one_over_one_plus((int32_t)((headroom < 32 ? sum << headroom : 0) - (UINT32_C(1) << 31)));
}

#define SOFTMAX(name, U, BITS)                                                                                                  \
    void name(const void *params, void *const *operands, const edged_task *task) {                                               \
        const edged_softmax_s8_params *p = params;                                                                               \
        const int32_t *table = operands[2];                                                                                      \
        for (uint32_t row = task->begin; row < task->end; row++) {                                                               \
            const int8_t *in = (const int8_t *)operands[1] + (ptrdiff_t)row * p->depth;                                          \
            U *out = (U *)operands[0] + (ptrdiff_t)row * p->depth;                                                               \
            const int32_t top = greatest(in, p->depth);                                                                          \
            int32_t shift;                                                                                                       \
            const int32_t scale = reciprocal(in, p->depth, top, table, BITS, &shift);                                            \
            for (int32_t i = 0; i < p->depth; i++) {                                                                             \
                const int32_t share = edged_doubling_high_mul(scale, table[(top - in[i]) & 255]);                                \
                const int32_t unit = shift > 31 ? 0 : edged_rounding_shift(share, shift < 0 ? 0 : shift);                        \
                const int32_t least = -(1 << (BITS - 1));                                                                        \
                out[i] = (U)edged_clamp(unit + least, least, -least - 1);                                                        \
            }                                                                                                                    \
        }                                                                                                                        \
    }

SOFTMAX(softmax_s8_scalar, int8_t, 8)
SOFTMAX(softmax_s8_s16_scalar, int16_t, 16)
