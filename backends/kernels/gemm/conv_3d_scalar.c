/* Convolutions of volumes, portable C. */
#define KERNEL_NAME(op) op##_scalar
#include "conv_3d.inc"
