/* int8 convolution and fully connected layers on NEON with smmla. */
#include "../abi.h"
#include "tile_s8_neon_i8mm.h"

#define COPY(to, from, n) memcpy(to, from, (size_t)(n))
#define FILL(to, n) memset(to, zero, (size_t)(n))
#include "conv_unit_s8.inc"

#define S8_SIXTEEN 1
#define CONV_S8 conv_s8_6x16_neon_i8mm
#define FC_S8 fc_s8_6x16_neon_i8mm
#include "conv_s8_neon.inc"
