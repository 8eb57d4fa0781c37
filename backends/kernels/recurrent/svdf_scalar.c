/* SVDF, portable C. */
#define KERNEL_NAME(op) op##_scalar
#include "svdf.inc"
