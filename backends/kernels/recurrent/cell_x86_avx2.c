/* The general LSTM and RNN cells, vectorised by the compiler for this instruction set. */
#include "../simd_math.h"

#define KERNEL_NAME(op) op##_avx2
#define QUANTISE quantise_rows_avx2
#define TANH(x) edged_tanh_f32(x)
#define LOGISTIC(x) edged_logistic_f32(x)
#include "cell.inc"
