/* f32 functions of one tensor through libm. They define the values; SIMD kernels stay within 1e-5 relative of them. */
#include "../abi.h"
#include "../params.h"

#include <math.h>

#define UNARY(name, EXPRESSION)                                                                                                 \
    void name##_f32_scalar(const void *params, void *const *operands, const edged_task *task) {                                  \
        const edged_unary_params *p = params;                                                                                    \
        float *out = operands[0];                                                                                                \
        const float *in = operands[1];                                                                                           \
        (void)p;                                                                                                                 \
        for (uint32_t i = task->begin; i < task->end; i++) {                                                                     \
            const float x = in[i];                                                                                               \
            out[i] = EXPRESSION;                                                                                                 \
        }                                                                                                                        \
    }

static float clipped(float x, float low, float high) {
    return x < low ? low : x > high ? high : x;
}

static float even(float x) {
    const float whole = floorf(x), part = x - whole;
    if (part != 0.5f) {
        return part < 0.5f ? whole : whole + 1.0f;
    }
    return whole * 0.5f == floorf(whole * 0.5f) ? whole : whole + 1.0f;
}

static float logistic(float x) {
    return x >= 0.0f ? 1.0f / (1.0f + expf(-x)) : expf(x) / (1.0f + expf(x));
}

UNARY(clip, clipped(x, p->a, p->b)) /* relu (0, inf), relu6 (0, 6), relu_n1_to_1, relu_0_to_1 */
UNARY(leaky_relu, x < 0.0f ? x * p->a : x)
UNARY(hard_swish, x * clipped(x + 3.0f, 0.0f, 6.0f) * (1.0f / 6.0f))
UNARY(logistic, logistic(x))
UNARY(tanh, tanhf(x))
UNARY(exp, expf(x))
UNARY(log, logf(x))
UNARY(elu, x < 0.0f ? expm1f(x) : x)
UNARY(gelu, 0.5f * x * (1.0f + erff(x * 0.70710678f)))
UNARY(gelu_tanh, 0.5f * x * (1.0f + tanhf(0.7978845608f * (x + 0.044715f * x * x * x))))
UNARY(abs, fabsf(x))
UNARY(neg, -x)
UNARY(sqrt, sqrtf(x))
UNARY(rsqrt, 1.0f / sqrtf(x))
UNARY(square, x * x)
UNARY(sin, sinf(x))
UNARY(cos, cosf(x))
UNARY(floor, floorf(x))
UNARY(ceil, ceilf(x))
UNARY(round, even(x)) /* ties to even */
UNARY(sign, x > 0.0f ? 1.0f : x < 0.0f ? -1.0f : x)
