/* Convolutions of volumes, vectorised by the compiler for this instruction set. */
#define KERNEL_NAME(op) op##_avx512
#include "conv_3d.inc"
