/* What a compiled program begins with: how the firmware finds its way in it. Generated code defines one
 * `edged_program_descriptor`; it stands first in a slot, or is linked into the firmware. */
#ifndef EDGED_PROGRAM_H
#define EDGED_PROGRAM_H

#include <stdint.h>

#define EDGED_PROGRAM_MAGIC 0x33504445u /* "EDP3" */

/* What an input's or output's numbers mean: scale * (number - zero). For people who read them, never for the program. */
typedef struct edged_end {
    uint32_t kind; /* EDGED_S8, ... */
    float scale;
    int32_t zero;
} edged_end;

enum { EDGED_OTHER, EDGED_S8, EDGED_U8, EDGED_F32 };

typedef struct edged_program {
    uint32_t magic;
    uint32_t inputs, outputs;   /* how many tensors */
    const uint32_t *bytes;      /* of the inputs in order, then of the outputs */
    uint32_t arena_bytes;       /* 16-byte aligned; inputs and outputs lie in it while they are exchanged */
    uint32_t state_bytes;       /* variables of a streaming model */
    void (*init)(void *state);
    void *(*tensor)(void *arena, int which); /* which >= 0: an input; -1, -2, ...: an output; NULL: none */
    int (*run)(void *arena, void *state);    /* 0, or a negative error */
    uint32_t steps;
    int (*run_tapped)(void *arena, void *state, void (*tap)(uint32_t step)); /* the same, with `tap` called after each step */
    uint8_t digest[32];
    char name[16];         /* ends with a zero byte; may be empty */
    const edged_end *ends; /* in the order of `bytes`, or NULL: not known */
} edged_program;

extern const edged_program edged_program_descriptor;

#endif
