/* quantise_rows for neon. */
#define KERNEL_NAME(op) op##_neon
#include "quantise_rows.inc"
