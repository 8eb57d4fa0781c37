/* wide.inc for scalar. */
#define KERNEL_NAME(op) op##_scalar
#include "wide.inc"
