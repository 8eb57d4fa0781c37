/* Which instruction sets the CPU has, as the check program and the benches see it. */
#define _GNU_SOURCE
#include "cpu.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

/* AMX int8 is there and the kernel grants the tile state (arch_prctl ARCH_REQ_XCOMP_PERM, XFEATURE 18). */
static int amx_usable(void) {
    unsigned a = 0, b = 0, c = 0, d = 0;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(d & (1u << 24)) || !(d & (1u << 25))) return 0;
    return syscall(SYS_arch_prctl, 0x1023, 18) == 0;
}

uint32_t cpu_arch(void) {
    uint32_t arch = 0;
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2")) arch |= ARCH_AVX2;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512dq"))
        arch |= ARCH_AVX512;
    if ((arch & ARCH_AVX512) && __builtin_cpu_supports("avx512vnni")) arch |= ARCH_VNNI;
    if ((arch & ARCH_VNNI) && amx_usable()) arch |= ARCH_AMX;
    return arch;
}
#elif defined(__aarch64__)
#include <sys/auxv.h>

uint32_t cpu_arch(void) {
    uint32_t arch = ARCH_NEON;
    if (getauxval(AT_HWCAP) & (1UL << 20)) arch |= ARCH_DOTPROD;   /* HWCAP_ASIMDDP */
    if (getauxval(AT_HWCAP2) & (1UL << 13)) arch |= ARCH_I8MM;     /* HWCAP2_I8MM */
    return arch;
}
#elif defined(__ARM_FEATURE_DSP)
uint32_t cpu_arch(void) { /* an image is compiled for its one CPU */
#if defined(__ARM_FEATURE_MVE)
    return ARCH_DSP | ARCH_MVE;
#else
    return ARCH_DSP;
#endif
}
#else
uint32_t cpu_arch(void) { return 0; }
#endif

const char *cpu_arch_name(uint32_t bit) {
    switch (bit) {
    case ARCH_AVX2: return "avx2";
    case ARCH_AVX512: return "avx512";
    case ARCH_VNNI: return "vnni";
    case ARCH_NEON: return "neon";
    case ARCH_DOTPROD: return "dotprod";
    case ARCH_I8MM: return "i8mm";
    case ARCH_DSP: return "dsp";
    case ARCH_MVE: return "mve";
    case ARCH_AMX: return "amx";
    default: return "?";
    }
}
