/* Depthwise convolution, portable C. */
#define KERNEL_NAME(op) op##_scalar
#include "plain.inc"

#define BIAS ((const int32_t *)operands[3])[c]

EDGED_DW(dw_s8_scalar, edged_depthwise_s8_params, int8_t, int8_t, int8_t, int32_t, BIAS, v - p->input_zero, w - p->weight_zero,
         edged_clamp(edged_wrapping_add(edged_requantise(a, MULTIPLIER, SHIFT), p->output_zero), p->act_min, p->act_max))

EDGED_DW(dw_f32_scalar, edged_depthwise_f32_params, float, float, float, float, ((const float *)operands[3])[c], v, w,
         edged_clamp_f32(a, p->act_min, p->act_max))
