/* Packing of weights as edged_backends/weights.py does it, for the check program and the bench. */
#ifndef EDGED_GEMM_PACK_H
#define EDGED_GEMM_PACK_H

#include <stdint.h>

#include "abi.h"
#include "params.h"

/* Depth laid out as `segments` runs of `length` elements, each padded to a multiple of the row's KR. */
typedef struct gemm_shape {
    int32_t channels, segments, length;
    int32_t weight_zero;    /* s8 only; != 0 adds one block of ones behind the last */
} gemm_shape;

/* What an s8 row adds to activations before it multiplies: VNNI's unsigned operand holds input + 128. */
int32_t gemm_activation_bias(const edged_kernel_row *row);
int64_t gemm_packed_elements(const gemm_shape *s, const edged_kernel_row *row);
int32_t gemm_padded_channels(const gemm_shape *s, const edged_kernel_row *row);
/* plain [channels][segments * length] -> packed; both functions write every element. */
void gemm_pack_s8(const gemm_shape *s, const edged_kernel_row *row, const int8_t *plain, int8_t *packed);
void gemm_pack_f32(const gemm_shape *s, const edged_kernel_row *row, const float *plain, float *packed);
/* bias' = bias - (input_zero + activation bias) * sum(weight - weight_zero). */
void gemm_fold_bias(const gemm_shape *s, const edged_kernel_row *row, const int8_t *plain, int32_t input_zero,
                    const int32_t *bias, int32_t *folded);

/* Scratch of the rows that copy bands (MR > 1), as edged_backends/lower/conv_shape.py states it. */
size_t gemm_conv_s8_scratch(const edged_conv_s8_params *p, const edged_kernel_row *row);
size_t gemm_conv_f32_scratch(const edged_conv_f32_params *p);
size_t gemm_fc_s8_scratch(const edged_fc_s8_params *p, const edged_kernel_row *row);

#endif
