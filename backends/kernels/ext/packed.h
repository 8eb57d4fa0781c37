/* A program as bytes: what edged_backends/packing.py writes, and the extension (or any other loop over the kernels) reads. Native byte order,
 * no padding inside. */
#ifndef EDGED_EXT_PACKED_H
#define EDGED_EXT_PACKED_H

#include <stdint.h>

/* SPACE_BLOCK: the tensor between the two steps of a pair, which has no place but a block of it in scratch. */
enum edged_space { SPACE_NONE, SPACE_ARENA, SPACE_CONSTANT, SPACE_VARIABLE, SPACE_INPUT, SPACE_OUTPUT, SPACE_BLOCK };

/* `kernel` is an index of edged_kernels, `params` a byte offset, `operand` the first of `operands`. `rounds`: into how many parts for each
 * thread the step is divided; 0 when it is too short to be. `block`: 0, or how many of its units belong to one unit of a pair (pair.h):
 * then this step and the next one, whose block is not 0 either, run as one, with the first one's scratch and rounds. */
typedef struct edged_packed_step {
    uint32_t kernel, params, operand, operands, units, scratch, rounds, block;
} edged_packed_step;

typedef struct edged_operand {
    uint32_t space, index;
    uint64_t offset, size;
} edged_operand;

#endif
