/* The integer LSTM cell, vectorised by the compiler for this instruction set. */
#define KERNEL_NAME(op) op##_avx2
#include "lstm_integer.inc"
