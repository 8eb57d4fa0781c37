/* Strided copies and fills: what concat, split, pad, transpose, slices, tile, space/batch/depth and reverse come down to. */
#include "../abi.h"
#include "../params.h"

#include <string.h>

/* memcpy with a constant size is one load and one store, whatever the alignment. */
#define RUN(bytes)                                                                                                              \
    for (int32_t i = 0; i < n; i++, to += d, from += s) {                                                                        \
        memcpy(to, from, bytes);                                                                                                 \
    }                                                                                                                            \
    break

/* memcpy without its call for short runs: 16 bytes at a time, the last ones over what was copied before. */
static inline void copy(char *to, const char *from, size_t bytes) {
    if (bytes < 16 || bytes > 256) {
        memcpy(to, from, bytes);
        return;
    }
    for (size_t i = 0; i + 16 < bytes; i += 16) memcpy(to + i, from + i, 16);
    memcpy(to + bytes - 16, from + bytes - 16, 16);
}

static inline void run(char *to, const char *from, int32_t n, int32_t d, int32_t s, int32_t size) {
    if (d == size && s == size) {
        copy(to, from, (size_t)n * (size_t)size);
        return;
    }
    switch (size) {
    case 1:
        RUN(1);
    case 2:
        RUN(2);
    case 4:
        RUN(4);
    case 8:
        RUN(8);
    default:
        RUN(16);
    }
}

static void plane(const edged_move_params *p, char *to, const char *from) {
    for (int32_t i = 0; i < p->n3; i++) {
        for (int32_t j = 0; j < p->n4; j++) {
            run(to + i * p->d3 + j * p->d4, from + i * p->s3 + j * p->s4, p->n5, p->d5, p->s5, p->size);
        }
    }
}

void move_scalar(const void *params, void *const *operands, const edged_task *task) {
    const edged_move_params *p = params;
    char *to = (char *)operands[0] + p->target;
    const char *from = (const char *)operands[1] + p->source;
    if (p->n1 == 1 && p->n2 == 1 && p->n3 == 1 && p->n4 == 1) {
        for (uint32_t i = task->begin; i < task->end; i++) {
            run(to + (ptrdiff_t)i * p->d0, from + (ptrdiff_t)i * p->s0, p->n5, p->d5, p->s5, p->size);
        }
        return;
    }
    for (uint32_t i = task->begin; i < task->end; i++) {
        for (int32_t j = 0; j < p->n1; j++) {
            for (int32_t k = 0; k < p->n2; k++) {
                plane(p, to + (ptrdiff_t)i * p->d0 + (ptrdiff_t)j * p->d1 + (ptrdiff_t)k * p->d2,
                      from + (ptrdiff_t)i * p->s0 + (ptrdiff_t)j * p->s1 + (ptrdiff_t)k * p->s2);
            }
        }
    }
}

void fill_scalar(const void *params, void *const *operands, const edged_task *task) {
    const edged_fill_params *p = params;
    const size_t size = (size_t)p->size;
    const unsigned char *value = operands[1];
    char *to = (char *)operands[0] + task->begin * size;
    const size_t total = (task->end - task->begin) * size;
    size_t same = 1;
    while (same < size && value[same] == value[0]) {
        same++;
    }
    if (same == size) {
        memset(to, value[0], total);
        return;
    }
    /* One element, then what is there already, twice as much each time. */
    for (size_t done = 0; done < total;) {
        const size_t left = total - done, next = done == 0 ? size : done < left ? done : left;
        memcpy(to + done, done == 0 ? (const char *)value : to, next);
        done += next;
    }
}
