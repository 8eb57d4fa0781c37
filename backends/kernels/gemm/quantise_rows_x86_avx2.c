/* quantise_rows for avx2. */
#define KERNEL_NAME(op) op##_avx2
#include "quantise_rows.inc"
