/* A program as bytes: what edged_backends/packing.py writes, and the extension (or any other loop over the kernels) reads. Native byte order,
 * no padding inside. */
#ifndef EDGED_EXT_PACKED_H
#define EDGED_EXT_PACKED_H

#include <stdint.h>

enum edged_space { SPACE_NONE, SPACE_ARENA, SPACE_CONSTANT, SPACE_VARIABLE, SPACE_INPUT, SPACE_OUTPUT };

/* `kernel` is an index of edged_kernels, `params` a byte offset, `operand` the first of `operands`. `rounds`: into how many parts for each
 * thread the step is divided; 0 when it is too short to be. */
typedef struct edged_packed_step {
    uint32_t kernel, params, operand, operands, units, scratch, rounds, reserved;
} edged_packed_step;

typedef struct edged_operand {
    uint32_t space, index;
    uint64_t offset, size;
} edged_operand;

#endif
