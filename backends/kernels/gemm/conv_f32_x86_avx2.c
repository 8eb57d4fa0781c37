/* float convolution on AVX2. */
#include "tile_f32_avx2.h"

#define CONV_F32 conv_f32_6x16_avx2
#include "conv_f32.inc"
