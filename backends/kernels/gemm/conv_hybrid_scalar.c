/* conv_hybrid for scalar. */
#define KERNEL_NAME(op) op##_scalar
#include "conv_hybrid.inc"
