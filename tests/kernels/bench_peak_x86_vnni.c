/* Multiply-accumulates per second that one core reaches from registers. */
#define _GNU_SOURCE
#include "bench_peak.h"

#include <time.h>

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

#if defined(__AVX512VNNI__)
#include <immintrin.h>

enum { CHAINS = 12, STEPS = 2000 };

static void spin_s8(void) {
    __m512i a[CHAINS], x = _mm512_setzero_si512();
    __asm__("" : "+v"(x));
    for (int i = 0; i < CHAINS; i++) a[i] = _mm512_setzero_si512();
    for (int s = 0; s < STEPS; s++) {
        _Pragma("GCC unroll 12") for (int i = 0; i < CHAINS; i++) a[i] = _mm512_dpbusd_epi32(a[i], x, x);
    }
    for (int i = 0; i < CHAINS; i++) __asm__ volatile("" ::"v"(a[i]));
}

static void spin_f32(void) {
    __m512 a[CHAINS], x = _mm512_setzero_ps();
    __asm__("" : "+v"(x));
    for (int i = 0; i < CHAINS; i++) a[i] = _mm512_setzero_ps();
    for (int s = 0; s < STEPS; s++) {
        _Pragma("GCC unroll 12") for (int i = 0; i < CHAINS; i++) a[i] = _mm512_fmadd_ps(x, x, a[i]);
    }
    for (int i = 0; i < CHAINS; i++) __asm__ volatile("" ::"v"(a[i]));
}

double bench_peak(int s8, uint32_t arch) {
    if (!(arch & ARCH_VNNI)) return 1e9;
    double best = 1e9;
    for (int i = 0; i < 200; i++) {
        const double start = now();
        (s8 ? spin_s8 : spin_f32)();
        const double each = now() - start;
        if (each < best) best = each;
    }
    return (s8 ? 64.0 : 16.0) * CHAINS * STEPS / best;
}
#else
double bench_peak(int s8, uint32_t arch) {
    (void)s8;
    (void)arch;
    return 1e9 + 0 * now();
}
#endif
