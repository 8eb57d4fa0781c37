/* Pooling, vectorised by the compiler for this instruction set. */
#define KERNEL_NAME(op) op##_avx512
#define OWN_8_AND_32
#include "pool.inc"
