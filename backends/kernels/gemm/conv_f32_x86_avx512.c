/* float convolution on AVX-512. */
#include "tile_f32_avx512.h"

#define CONV_F32 conv_f32_8x48_avx512
#include "conv_f32.inc"
