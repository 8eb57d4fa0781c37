/* f32 functions of one tensor, vectorised by the compiler for this instruction set. */
#define KERNEL_NAME(op) op##_avx512
#include "lanes.inc"
