/* A pair: two steps run as one, block by block, so that what the first hands to the second never leaves the thread's scratch.
 *
 * Unit i of a pair is units [i * first_block, ...) of the first kernel, then units [i * second_block, ...) of the second one, which read
 * nothing but what those wrote. Both address the tensor between them by absolute rows, so each is given an address that lies as far
 * before the block's memory as the block lies behind the tensor's beginning; only the block itself is touched. No Python here: any loop
 * over packed programs may use it. */
#ifndef EDGED_EXT_PAIR_H
#define EDGED_EXT_PAIR_H

#include <string.h>

#include "../abi.h"
#include "packed.h"

enum { PAIR_OPERANDS = 8, PAIR_ALIGN = 64 };

/* One of the two kernels. */
typedef struct edged_half {
    edged_kernel *function;
    const void *params;
    uint32_t operands, units, block;
} edged_half;

typedef struct edged_pair {
    edged_half first, second; /* the second's operands follow the first's */
    uint64_t block_bytes, at; /* of the tensor between them: size of a block, and its place in scratch */
} edged_pair;

/* Where the block lies in scratch: behind what the kernels themselves need. */
static inline uint64_t edged_pair_at(const edged_packed_step *p) {
    uint64_t most = p[0].scratch > p[1].scratch ? p[0].scratch : p[1].scratch;
    return (most + PAIR_ALIGN - 1) / PAIR_ALIGN * PAIR_ALIGN;
}

static inline uint32_t edged_pair_units(const edged_packed_step *p) {
    return (p[0].units + p[0].block - 1) / p[0].block;
}

/* `p`: the two packed steps; `between`: the bytes of the tensor between them. */
static inline edged_pair edged_pair_of(const edged_packed_step *p, edged_kernel *const functions[2], const char *params, uint64_t between) {
    edged_pair made;
    made.first = (edged_half){functions[0], params + p[0].params, p[0].operands, p[0].units, p[0].block};
    made.second = (edged_half){functions[1], params + p[1].params, p[1].operands, p[1].units, p[1].block};
    made.block_bytes = between / p[0].units * p[0].block;
    made.at = edged_pair_at(p);
    return made;
}

static inline void edged_half_run(const edged_half *half, void *const *operands, uint32_t index, void *scratch) {
    uint32_t begin = index * half->block, left = half->units - begin;
    edged_task task = {begin, begin + (left < half->block ? left : half->block), scratch};
    half->function(half->params, operands, &task);
}

/* An edged_kernel, with an edged_pair as its params. */
static inline void edged_run_pair(const void *params, void *const *operands, const edged_task *task) {
    const edged_pair *pair = params;
    void *first[PAIR_OPERANDS], *second[PAIR_OPERANDS];
    memcpy(first, operands, pair->first.operands * sizeof *first);
    memcpy(second, operands + pair->first.operands, pair->second.operands * sizeof *second);
    const uintptr_t block = (uintptr_t)task->scratch + pair->at;
    for (uint32_t i = task->begin; i < task->end; i++) {
        first[0] = second[1] = (void *)(block - (uintptr_t)(i * pair->block_bytes));
        edged_half_run(&pair->first, first, i, task->scratch);
        edged_half_run(&pair->second, second, i, task->scratch);
    }
}

#endif
