/* Depthwise f32, AVX-512. */
#include <immintrin.h>

#define KERNEL_NAME(op) op##_avx512
#define LANES 16
#define VECTOR __m512
#define MASK __mmask16
#define MASK_OF(n) ((__mmask16)(0xFFFFu >> (16 - (n))))
#define LOAD(p) _mm512_loadu_ps(p)
#define LOAD_MASKED(p, m) _mm512_maskz_loadu_ps(m, p)
#define STORE(p, v) _mm512_storeu_ps(p, v)
#define STORE_MASKED(p, m, v) _mm512_mask_storeu_ps(p, m, v)
#define FMA(a, b, c) _mm512_fmadd_ps(a, b, c)
#define MIN(a, b) _mm512_min_ps(a, b)
#define MAX(a, b) _mm512_max_ps(a, b)
#define SET1(x) _mm512_set1_ps(x)
#define MANY_REGISTERS
#include "f32.inc"
