/* What a kernel is to whoever calls it: the CPU backend's program loop, the check program, generated firmware.
 *
 * A kernel is a pure function of its parameters, operands and a range of work units. It allocates nothing, keeps no state,
 * and uses no library beyond string.h, math.h and stdint.h. Whatever values it finds in an operand, it reads and
 * writes only inside its operands: an index that comes out of a tensor is checked where it is used, since a client may
 * change shared memory meanwhile.
 */
#ifndef EDGED_ABI_H
#define EDGED_ABI_H

#include <stddef.h>
#include <stdint.h>

/* The part of a step that one call does. A step has `units` independent units (rows of output tiles, channels, ...: the
 * kernel's parameter comment says which); a call does [begin, end). Calls of one step with disjoint ranges may run on
 * several threads at once. `scratch` is this thread's own: the bytes that the step asked for, 64-byte aligned on hosts, 8 on
 * microcontrollers, with no contents to rely on. */
typedef struct edged_task {
    uint32_t begin;
    uint32_t end;
    void *scratch;
} edged_task;

/* `params` points at the family's parameter struct (params.h: 32-bit fields only). `operands` are the addresses in the
 * order which the family's comment gives: outputs first, then inputs, then constants. An absent optional operand is NULL. */
typedef void edged_kernel(const void *params, void *const *operands, const edged_task *task);

/* Instruction sets, one bit each. A kernel's mask names all it needs; it is usable where (mask & ~present) == 0. */
enum edged_arch {
    ARCH_NONE = 0,
    ARCH_AVX2 = 1 << 0,       /* x86-64-v3: AVX2, FMA, F16C, BMI */
    ARCH_AVX512 = 1 << 1,     /* F, BW, VL, DQ */
    ARCH_VNNI = 1 << 2,       /* AVX-512 VNNI, beside ARCH_AVX512 */
    ARCH_NEON = 1 << 3,       /* armv8-a */
    ARCH_DOTPROD = 1 << 4,    /* armv8.2-a sdot */
    ARCH_I8MM = 1 << 5,       /* armv8.6-a smmla */
    ARCH_DSP = 1 << 6,        /* armv7e-m SIMD32: Cortex-M4, M7 */
    ARCH_MVE = 1 << 7,        /* armv8.1-m Helium: Cortex-M55 */
    ARCH_AMX = 1 << 8         /* x86 AMX int8 */
};

/* One row of a kernels.inc list: KERNEL(mask, op, function, MR, NR, KR), best first for each op.
 * `op` is what a lowering asks for ("conv_s8"); MR rows x NR output channels is the tile, KR the depth of one packed
 * group of weights; all three are 1 where the family packs nothing. Dispatch takes the first usable row of an op. */
typedef struct edged_kernel_row {
    uint32_t arch;
    const char *op;
    const char *name;
    edged_kernel *function;
    uint16_t mr, nr, kr;
} edged_kernel_row;

#endif
