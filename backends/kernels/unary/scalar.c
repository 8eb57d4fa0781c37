/* Functions of one tensor by table, and integer ones. */
#include "../abi.h"
#include "../params.h"

void lut_s8_scalar(const void *params, void *const *operands, const edged_task *task) {
    uint8_t *out = operands[0];
    const uint8_t *in = operands[1], *table = operands[2];
    (void)params;
    for (uint32_t i = task->begin; i < task->end; i++) {
        out[i] = table[in[i]];
    }
}

/* The table has one entry for each of the 65,536 inputs. */
void lut_s16_scalar(const void *params, void *const *operands, const edged_task *task) {
    uint16_t *out = operands[0];
    const uint16_t *in = operands[1], *table = operands[2];
    (void)params;
    for (uint32_t i = task->begin; i < task->end; i++) {
        out[i] = table[in[i]];
    }
}

void not_bool_scalar(const void *params, void *const *operands, const edged_task *task) {
    (void)params;
    for (uint32_t i = task->begin; i < task->end; i++) {
        ((uint8_t *)operands[0])[i] = ((const uint8_t *)operands[1])[i] == 0;
    }
}

/* Integers wrap at their most negative value, as TFLite's do on every machine. */
#define INTEGER(name, T, U, EXPRESSION)                                                                                         \
    void name##_scalar(const void *params, void *const *operands, const edged_task *task) {                                      \
        U *out = operands[0];                                                                                                    \
        const T *in = operands[1];                                                                                               \
        (void)params;                                                                                                            \
        for (uint32_t i = task->begin; i < task->end; i++) {                                                                     \
            const T x = in[i];                                                                                                   \
            out[i] = EXPRESSION;                                                                                                 \
        }                                                                                                                        \
    }

INTEGER(abs_s32, int32_t, uint32_t, x < 0 ? 0u - (uint32_t)x : (uint32_t)x)
INTEGER(neg_s32, int32_t, uint32_t, 0u - (uint32_t)x)
INTEGER(square_s32, int32_t, uint32_t, (uint32_t)x * (uint32_t)x)
INTEGER(sign_s32, int32_t, int32_t, (x > 0) - (x < 0))
INTEGER(neg_s64, int64_t, uint64_t, (uint64_t)0 - (uint64_t)x)
