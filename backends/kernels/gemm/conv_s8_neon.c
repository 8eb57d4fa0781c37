/* int8 convolution and fully connected layers on plain NEON. */
#include "../abi.h"
#include "tile_s8_neon_mlal.h"

static void copy_wide(int16_t *to, const int8_t *from, ptrdiff_t n) {
    ptrdiff_t i = 0;
    for (; i + 8 <= n; i += 8) vst1q_s16(to + i, vmovl_s8(vld1_s8(from + i)));
    for (; i < n; i++) to[i] = from[i];
}

static void fill_wide(int16_t *to, ptrdiff_t n, int value) {
    for (ptrdiff_t i = 0; i < n; i++) to[i] = (int16_t)value;
}

#define COPY(to, from, n) copy_wide(to, from, n)
#define FILL(to, n) fill_wide(to, n, zero)
#include "conv_unit_s8.inc"

#define S8_SIXTEEN 0
#define CONV_S8 conv_s8_6x8_neon
#define FC_S8 fc_s8_6x8_neon
#include "conv_s8_neon.inc"
