/* conv_hybrid for avx2. */
#define KERNEL_NAME(op) op##_avx2
#include "conv_hybrid.inc"
