/* int8 convolution on AVX-512 VNNI. */
#include "../abi.h"
#include "tile_s8_vnni.h"

#define COPY(to, from, n) edged_copy_xor80_avx512(to, from, n)
#define FILL(to, n) edged_fill_avx512(to, n, zero)
#include "conv_unit_s8.inc"

#define TILE(t, rows, blocks) S8_TILES[(rows) - 1][(blocks) - 1](t)
#define RUN(u, begin, even) (even)
#define CONV_S8 convolve
#include "conv_s8_raised.inc"

void conv_s8_8x48_vnni(const void *params, void *const *operands, const edged_task *task) { convolve(params, operands, task); }
