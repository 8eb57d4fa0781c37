/* Which instruction sets the CPU has, as the check program and the benches see it. */
#ifndef EDGED_CHECK_CPU_H
#define EDGED_CHECK_CPU_H

#include "abi.h"

uint32_t cpu_arch(void);
const char *cpu_arch_name(uint32_t bit);

#endif
