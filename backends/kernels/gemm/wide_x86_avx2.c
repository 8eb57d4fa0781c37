/* wide.inc for avx2. */
#define KERNEL_NAME(op) op##_avx2
#include "wide.inc"
