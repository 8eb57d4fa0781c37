/* wide.inc for neon. */
#define KERNEL_NAME(op) op##_neon
#include "wide.inc"
