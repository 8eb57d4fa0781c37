/* Instruction sets of this CPU that the operating system lets us use. */
#include "table.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

static uint64_t enabled_states(void) {
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

/* Linux gives a process the AMX tile registers only when it asks; they make every signal frame 8 KiB larger, so we ask only when some
 * kernel would use them. */
static int tiles_permitted(void) {
    uint32_t wanted = 0;
    for (uint32_t i = 0; i < edged_kernel_count; i++) {
        wanted |= edged_kernels[i].arch;
    }
    if (!(wanted & ARCH_AMX)) {
        return 0;
    }
    enum { ARCH_REQUEST_PERMISSION = 0x1023, STATE_TILE_DATA = 18 };
    return syscall(SYS_arch_prctl, ARCH_REQUEST_PERMISSION, STATE_TILE_DATA) == 0;
}

#define BIT(word, n) (((word) >> (n)) & 1u)

uint32_t edged_detect(void) {
    uint32_t a, b, c, d, b7, c7, d7, feature1_c, extended_c, arch = ARCH_NONE;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !BIT(c, 27)) {
        return arch;
    }
    feature1_c = c;
    uint64_t states = enabled_states();
    if (!__get_cpuid_count(7, 0, &a, &b7, &c7, &d7) || (states & 6) != 6) {
        return arch;
    }
    extended_c = __get_cpuid(0x80000001, &a, &b, &c, &d) ? c : 0;
    int fma_f16c = BIT(feature1_c, 12) && BIT(feature1_c, 29);
    int bmi_lzcnt = BIT(b7, 3) && BIT(b7, 8) && BIT(extended_c, 5);
    if (!BIT(b7, 5) || !fma_f16c || !bmi_lzcnt) {
        return arch;
    }
    arch |= ARCH_AVX2;
    int bw_vl_dq = BIT(b7, 30) && BIT(b7, 31) && BIT(b7, 17);
    if ((states & 0xe6) != 0xe6 || !BIT(b7, 16) || !bw_vl_dq) {
        return arch;
    }
    arch |= ARCH_AVX512;
    if (BIT(c7, 11)) {
        arch |= ARCH_VNNI;
    }
    int tiles = BIT(d7, 24) && BIT(d7, 25) && (states & 0x60000) == 0x60000;
    if (tiles && BIT(c7, 11) && tiles_permitted()) {
        arch |= ARCH_AMX;
    }
    return arch;
}

#elif defined(__aarch64__)
#include <sys/auxv.h>

/* Bits of asm/hwcap.h, stated here because older kernel headers lack the second word's. */
enum { CAP_ASIMD = 1 << 1, CAP_ASIMDDP = 1 << 20, CAP2_I8MM = 1 << 13 };

uint32_t edged_detect(void) {
    unsigned long caps = getauxval(AT_HWCAP), caps2 = getauxval(AT_HWCAP2);
    uint32_t arch = ARCH_NONE;
    if (caps & CAP_ASIMD) {
        arch |= ARCH_NEON;
        if (caps & CAP_ASIMDDP) {
            arch |= ARCH_DOTPROD;
            if (caps2 & CAP2_I8MM) {
                arch |= ARCH_I8MM;
            }
        }
    }
    return arch;
}

#else

uint32_t edged_detect(void) {
    return ARCH_NONE;
}

#endif
