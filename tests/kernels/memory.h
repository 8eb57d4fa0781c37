/* Guarded memory of the check program. */
#ifndef EDGED_CHECK_MEMORY_H
#define EDGED_CHECK_MEMORY_H

#include <stddef.h>
#include <stdint.h>

typedef struct guarded {
    void *mapping;
    size_t mapped;
    uint8_t *data;
    size_t bytes;
} guarded;

/* `bytes` zeroed bytes that end as near to the wall as `alignment` (a power of 2) allows. */
void guarded_new(guarded *g, size_t bytes, size_t alignment);
/* 0 when a guard word was overwritten. */
int guarded_intact(const guarded *g);
void guarded_free(guarded *g);

#endif
