/* conv_hybrid for neon. */
#define KERNEL_NAME(op) op##_neon
#include "conv_hybrid.inc"
