/* The general LSTM and RNN cells, portable C. */
#include <math.h>

#define KERNEL_NAME(op) op##_scalar
#define QUANTISE quantise_rows_scalar
#define TANH(x) tanhf(x)
#define LOGISTIC(x) (1.0f / (1.0f + expf(-(x))))
#include "cell.inc"
