/* 16-bit softmax by two tables, as TFLite Micro computes it (kernels/internal/reference/softmax.h, SoftmaxInt16). */
#include "../abi.h"
#include "../fixedpoint.h"
#include "../params.h"

/* LUTLookup: 513 entries over the int16 range, interpolated. */
static int32_t between(int32_t x, const int16_t *table) {
    const int32_t at = 256 + (x >> 7), base = table[at], slope = (int16_t)(uint16_t)((uint32_t)table[at + 1] - (uint32_t)base);
    return (int16_t)(uint16_t)(uint32_t)(base + ((slope * (x & 0x7F) + 64) >> 7));
}

static int32_t bits_of(uint32_t x) {
    int32_t n = 0;
    for (; x != 0; x >>= 1) n++;
    return n;
}

void softmax_s16_scalar(const void *params, void *const *operands, const edged_task *task) {
    const edged_softmax_s16_params *p = params;
    const int16_t *exponentials = operands[2], *inverses = operands[3];
    for (uint32_t row = task->begin; row < task->end; row++) {
        const int16_t *in = (const int16_t *)operands[1] + (ptrdiff_t)row * p->depth;
        int16_t *out = (int16_t *)operands[0] + (ptrdiff_t)row * p->depth;
        int32_t top = INT16_MIN;
        uint32_t sum = 0;
        for (int32_t i = 0; i < p->depth; i++) top = in[i] > top ? in[i] : top;
        for (int32_t i = 0; i < p->depth; i++) {
            const int32_t scaled = edged_wrapping_add(edged_requantise(in[i] - top, p->multiplier, p->shift), INT16_MAX);
            const int32_t e = between(edged_clamp(scaled, INT16_MIN, INT16_MAX), exponentials);
            out[i] = (int16_t)e; /* kept for the second pass: what stands in memory is not read again */
            sum += (uint32_t)e;
        }
        const int32_t headroom = 32 - bits_of(sum), right = 31 - headroom;
        const int32_t shifted = (int32_t)((((uint64_t)sum << (headroom - (headroom > 0))) + (1 << 13)) >> 14);
        const int32_t inverse = between(edged_clamp(shifted - (1 << 15) - (1 << 16), INT16_MIN, INT16_MAX), inverses);
        for (int32_t i = 0; i < p->depth; i++) {
            const int64_t product = (int64_t)out[i] * inverse, half = right > 0 ? INT64_C(1) << (right - 1) : 0;
            out[i] = (int16_t)edged_clamp((int32_t)((product + half) >> (right > 0 ? right : 0)), 0, INT16_MAX);
        }
    }
}
