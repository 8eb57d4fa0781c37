/* Guarded memory of the check program: an operand ends exactly where an untouchable page begins and has guard words in front.
 * Under ASan, heap blocks of the exact size do the same for reads as well as writes. A microcontroller has no pages: there are guard words
 * behind an operand too. */
#define _GNU_SOURCE
#include "memory.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if !defined(__arm__)
#include <sys/mman.h>
#include <unistd.h>
#endif

enum { GUARD = 64, GUARD_BYTE = 0xA5 };

#if defined(__SANITIZE_ADDRESS__) || defined(__arm__)
#define ON_HEAP 1
/* Bytes behind the data. */
#if defined(__arm__)
enum { BEHIND = 64 };
#else
enum { BEHIND = 0 };
#endif

void guarded_new(guarded *g, size_t bytes, size_t alignment) {
    g->mapped = bytes + 64 + alignment + BEHIND;
    g->mapping = malloc(g->mapped);
    if (!g->mapping) abort();
    /* The end of the data is the end of the block, or of what is before the words behind. */
    uintptr_t at = ((uintptr_t)g->mapping + g->mapped - BEHIND - bytes) & ~(uintptr_t)(alignment - 1);
    g->data = (uint8_t *)at;
    g->bytes = bytes;
    memset(g->mapping, GUARD_BYTE, g->mapped);
    memset(g->data, 0, bytes);
}

void guarded_free(guarded *g) { free(g->mapping); memset(g, 0, sizeof *g); }

#else

void guarded_new(guarded *g, size_t bytes, size_t alignment) {
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const size_t room = (bytes + GUARD + alignment + page - 1) / page * page;
    g->mapped = room + page;
    g->mapping = mmap(NULL, g->mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (g->mapping == MAP_FAILED) { perror("check: mmap"); abort(); }
    uint8_t *wall = (uint8_t *)g->mapping + room;
    if (mprotect(wall, page, PROT_NONE)) { perror("check: mprotect"); abort(); }
    g->data = (uint8_t *)(((uintptr_t)wall - bytes) & ~(uintptr_t)(alignment - 1));
    g->bytes = bytes;
    memset(g->mapping, GUARD_BYTE, room);
    memset(g->data, 0, bytes);
}

void guarded_free(guarded *g) {
    if (g->mapping) munmap(g->mapping, g->mapped);
    memset(g, 0, sizeof *g);
}

#endif

int guarded_intact(const guarded *g) {
    const uint8_t *begin = (const uint8_t *)g->mapping, *data = g->data;
    for (const uint8_t *at = data - begin > GUARD ? data - GUARD : begin; at < data; at++)
        if (*at != GUARD_BYTE) return 0;
#if defined(ON_HEAP)
    const uint8_t *end = begin + g->mapped;
#else
    const uint8_t *end = begin + g->mapped - (size_t)sysconf(_SC_PAGESIZE);
#endif
    for (const uint8_t *at = data + g->bytes; at < end; at++)
        if (*at != GUARD_BYTE) return 0;
    return 1;
}
