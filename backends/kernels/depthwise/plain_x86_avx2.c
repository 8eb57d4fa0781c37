/* Depthwise of int16 and of hybrid layers, vectorised by the compiler for this instruction set. */
#define KERNEL_NAME(op) op##_avx2
#include "plain.inc"
