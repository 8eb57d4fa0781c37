/* What kernels use of math.h, for a compiler that comes without a C library (clang of the ziglang wheel,
 * whose compiler-rt has the functions). */
#ifndef EDGED_FREESTANDING_MATH_H
#define EDGED_FREESTANDING_MATH_H

#define INFINITY __builtin_inff()
#define NAN __builtin_nanf("")
#define isnan(x) __builtin_isnan(x)
#define isinf(x) __builtin_isinf(x)
#define isfinite(x) __builtin_isfinite(x)
#define signbit(x) __builtin_signbit(x)

float ceilf(float), cosf(float), expf(float), expm1f(float), fabsf(float), floorf(float), fmaxf(float, float);
float fminf(float, float), fmodf(float, float), log1pf(float), logf(float), nearbyintf(float), powf(float, float);
float rintf(float), roundf(float), sinf(float), sqrtf(float), tanhf(float), truncf(float), copysignf(float, float);
double ceil(double), exp(double), fabs(double), floor(double), log(double), pow(double, double), rint(double);
double round(double), sqrt(double), tanh(double), trunc(double), ldexp(double, int), frexp(double, int *);
long lrintf(float), lroundf(float), lrint(double), lround(double);

#endif
