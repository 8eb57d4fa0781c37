/* Depthwise convolution, portable C. */
#include "../fixedpoint.h"
#include "plain.h"

#define BIAS32 ((const int32_t *)operands[3])[c]
#define BIAS64 ((const int64_t *)operands[3])[c]
#define MULTIPLIER ((const int32_t *)operands[4])[c]
#define SHIFT ((const int32_t *)operands[5])[c]

EDGED_DW(dw_s8_scalar, edged_depthwise_s8_params, int8_t, int8_t, int32_t, BIAS32, v - p->input_zero, w - p->weight_zero,
         edged_clamp(edged_wrapping_add(edged_requantise(a, MULTIPLIER, SHIFT), p->output_zero), p->act_min, p->act_max))

EDGED_DW(dw_s16_scalar, edged_depthwise_s16_params, int16_t, int8_t, int64_t, BIAS64, v, w,
         edged_clamp(edged_requantise_wide(a, MULTIPLIER, SHIFT), p->act_min, p->act_max))

EDGED_DW(dw_f32_scalar, edged_depthwise_f32_params, float, float, float, ((const float *)operands[3])[c], v, w,
         edged_clamp_f32(a, p->act_min, p->act_max))
