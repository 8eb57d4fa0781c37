/* Plain conversions between element types, one kernel per source type. */
#include "../abi.h"
#include "../params.h"
#include "types.h"

#include <string.h>

/* Truncation that saturates: C leaves an out-of-range conversion undefined. NaN gives the greatest value. */
static int64_t truncated(double x, int64_t low, int64_t high) {
    if (!(x < (double)high)) return high;
    return x <= (double)low ? low : (int64_t)x;
}

#define LOOP(T, U, EXPRESSION)                                                                                                  \
    {                                                                                                                            \
        U *out = operands[0];                                                                                                    \
        const T *in = operands[1];                                                                                               \
        for (uint32_t i = task->begin; i < task->end; i++) {                                                                     \
            const T x = in[i];                                                                                                   \
            out[i] = (U)(EXPRESSION);                                                                                            \
        }                                                                                                                        \
        break;                                                                                                                   \
    }

#define FROM_INTEGER(name, T)                                                                                                   \
    void name(const void *params, void *const *operands, const edged_task *task) {                                               \
        switch (((const edged_cast_params *)params)->to) {                                                                       \
        case CAST_S8: LOOP(T, int8_t, x)                                                                                         \
        case CAST_U8: LOOP(T, uint8_t, x)                                                                                        \
        case CAST_S16: LOOP(T, int16_t, x)                                                                                       \
        case CAST_U16: LOOP(T, uint16_t, x)                                                                                      \
        case CAST_S32: LOOP(T, int32_t, x)                                                                                       \
        case CAST_U32: LOOP(T, uint32_t, x)                                                                                      \
        case CAST_S64: LOOP(T, int64_t, x)                                                                                       \
        case CAST_F32: LOOP(T, float, x)                                                                                         \
        case CAST_F64: LOOP(T, double, x)                                                                                        \
        default: LOOP(T, uint8_t, x != 0)                                                                                        \
        }                                                                                                                        \
    }

#define FROM_FLOAT(name, T)                                                                                                     \
    void name(const void *params, void *const *operands, const edged_task *task) {                                               \
        switch (((const edged_cast_params *)params)->to) {                                                                       \
        case CAST_S8: LOOP(T, int8_t, truncated((double)x, INT8_MIN, INT8_MAX))                                                  \
        case CAST_U8: LOOP(T, uint8_t, truncated((double)x, 0, UINT8_MAX))                                                       \
        case CAST_S16: LOOP(T, int16_t, truncated((double)x, INT16_MIN, INT16_MAX))                                              \
        case CAST_U16: LOOP(T, uint16_t, truncated((double)x, 0, UINT16_MAX))                                                    \
        case CAST_S32: LOOP(T, int32_t, truncated((double)x, INT32_MIN, INT32_MAX))                                              \
        case CAST_U32: LOOP(T, uint32_t, truncated((double)x, 0, UINT32_MAX))                                                    \
        case CAST_S64: LOOP(T, int64_t, truncated((double)x, INT64_MIN, INT64_MAX))                                              \
        case CAST_F32: LOOP(T, float, x)                                                                                         \
        case CAST_F64: LOOP(T, double, x)                                                                                        \
        default: LOOP(T, uint8_t, x != (T)0)                                                                                     \
        }                                                                                                                        \
    }

FROM_INTEGER(cast_s8_scalar, int8_t)
FROM_INTEGER(cast_u8_scalar, uint8_t)
FROM_INTEGER(cast_s16_scalar, int16_t)
FROM_INTEGER(cast_u16_scalar, uint16_t)
FROM_INTEGER(cast_s32_scalar, int32_t)
FROM_INTEGER(cast_u32_scalar, uint32_t)
FROM_INTEGER(cast_s64_scalar, int64_t)
FROM_FLOAT(cast_f32_scalar, float)
FROM_FLOAT(cast_f64_scalar, double)

/* A bool is any byte that is not 0: whoever wrote it may have been a client. */
void cast_bool_scalar(const void *params, void *const *operands, const edged_task *task) {
#define TRUTH(U)                                                                                                                \
    for (uint32_t i = task->begin; i < task->end; i++) {                                                                         \
        ((U *)operands[0])[i] = (U)(((const uint8_t *)operands[1])[i] != 0);                                                     \
    }                                                                                                                            \
    break
    switch (((const edged_cast_params *)params)->to) {
    case CAST_S16:
    case CAST_U16:
        TRUTH(uint16_t);
    case CAST_S32:
    case CAST_U32:
        TRUTH(uint32_t);
    case CAST_S64:
        TRUTH(int64_t);
    case CAST_F32:
        TRUTH(float);
    case CAST_F64:
        TRUTH(double);
    default:
        TRUTH(uint8_t);
    }
}

static float half(uint16_t h) {
    const uint32_t sign = (uint32_t)(h & 0x8000u) << 16;
    uint32_t exponent = (h >> 10) & 31u, mantissa = h & 1023u, bits;
    if (exponent == 31u) {
        bits = sign | 0x7F800000u | mantissa << 13;
    } else if (exponent != 0) {
        bits = sign | (exponent + 112u) << 23 | mantissa << 13;
    } else {
        const float small = (float)mantissa * 5.9604644775390625e-8f;
        memcpy(&bits, &small, 4);
        bits |= sign;
    }
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

void cast_f16_scalar(const void *params, void *const *operands, const edged_task *task) {
    (void)params;
    for (uint32_t i = task->begin; i < task->end; i++) {
        ((float *)operands[0])[i] = half(((const uint16_t *)operands[1])[i]);
    }
}
