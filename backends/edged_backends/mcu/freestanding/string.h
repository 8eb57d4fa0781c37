/* What kernels use of string.h, for a compiler that comes without a C library (clang of the ziglang wheel,
 * whose compiler-rt has the functions). */
#ifndef EDGED_FREESTANDING_STRING_H
#define EDGED_FREESTANDING_STRING_H

#include <stddef.h>

void *memcpy(void *restrict to, const void *restrict from, size_t size);
void *memmove(void *to, const void *from, size_t size);
void *memset(void *to, int value, size_t size);
int memcmp(const void *left, const void *right, size_t size);

#endif
