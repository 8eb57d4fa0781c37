/* LSTM of int16 activations, portable C. */
#define KERNEL_NAME(op) op##_scalar
#include "lstm_s16.inc"
