/* quantise_rows for scalar. */
#define KERNEL_NAME(op) op##_scalar
#include "quantise_rows.inc"
