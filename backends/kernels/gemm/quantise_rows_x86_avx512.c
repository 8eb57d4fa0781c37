/* quantise_rows for avx512. */
#define KERNEL_NAME(op) op##_avx512
#include "quantise_rows.inc"
