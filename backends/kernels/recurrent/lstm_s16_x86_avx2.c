/* LSTM of int16 activations, vectorised by the compiler for this instruction set. */
#define KERNEL_NAME(op) op##_avx2
#include "lstm_s16.inc"
