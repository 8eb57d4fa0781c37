/* f32 normalisations, vectorised by the compiler for this instruction set. */
#include "../simd_math.h"

#define KERNEL_NAME(op) op##_avx512
#define EXP(x) edged_exp_f32(x)
#include "rows.inc"
