/* The integer LSTM cell, portable C. */
#define KERNEL_NAME(op) op##_scalar
#include "lstm_integer.inc"
