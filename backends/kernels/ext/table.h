/* The joined kernel lists as data: rows, params layouts, and which params struct an op takes. */
#ifndef EDGED_EXT_TABLE_H
#define EDGED_EXT_TABLE_H

#include "abi.h"

/* One field of a params struct; type is 'i' (int32_t) or 'f' (float). */
typedef struct edged_field {
    const char *name;
    char type;
} edged_field;

/* A params struct: `fields` ends with a NULL name. */
typedef struct edged_struct {
    const char *name;
    const edged_field *fields;
} edged_struct;

typedef struct edged_op_params {
    const char *op;
    const char *name;
} edged_op_params;

extern const edged_kernel_row edged_kernels[];
extern const uint32_t edged_kernel_count;
extern const edged_struct edged_structs[];
extern const uint32_t edged_struct_count;
extern const edged_op_params edged_ops[];
extern const uint32_t edged_op_count;

/* Instruction sets of this CPU, as bits of enum edged_arch (detect.c). */
uint32_t edged_detect(void);

#endif
