/* Names of the instruction sets, this CPU's AMX state, and where the check program is just now. */
#ifndef EDGED_ARCH_NAMES_H
#define EDGED_ARCH_NAMES_H

#include <stdint.h>

#include "abi.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

/* AMX int8 is there and the kernel grants the tile state (arch_prctl ARCH_REQ_XCOMP_PERM, XFEATURE 18). */
static inline int amx_usable(void) {
    unsigned a = 0, b = 0, c = 0, d = 0;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(d & (1u << 24)) || !(d & (1u << 25))) return 0;
    return syscall(SYS_arch_prctl, 0x1023, 18) == 0;
}
#endif

typedef struct check_place { const char *kernel; const char *text; } check_place;
extern check_place check_now;

static inline const char *arch_name(uint32_t bit) {
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

#endif
