/* wide.inc for avx512. */
#define KERNEL_NAME(op) op##_avx512
#include "wide.inc"
