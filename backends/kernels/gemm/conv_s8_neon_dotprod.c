/* int8 convolution and fully connected layers on NEON with sdot. */
#include "../abi.h"
#include "tile_s8_neon_dotprod.h"

#define COPY(to, from, n) memcpy(to, from, (size_t)(n))
#define FILL(to, n) memset(to, zero, (size_t)(n))
#include "conv_unit_s8.inc"

#define S8_SIXTEEN 1
#define CONV_S8 conv_s8_6x16_neon_dotprod
#define FC_S8 fc_s8_6x16_neon_dotprod
#include "conv_s8_neon.inc"
