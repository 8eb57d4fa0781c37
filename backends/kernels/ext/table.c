/* The kernel lists, joined: every array here is made from kernels.inc and params.inc alone. */
#include "table.h"

#define KERNEL(arch, op, function, mr, nr, kr) edged_kernel function;
#define OPPARAMS(op, name)
#include "kernels.inc"
#undef KERNEL
#undef OPPARAMS

/* The closing row keeps the array non-empty; it is not counted. */
const edged_kernel_row edged_kernels[] = {
#define KERNEL(arch, op, function, mr, nr, kr) {arch, #op, #function, function, mr, nr, kr},
#define OPPARAMS(op, name)
#include "kernels.inc"
#undef KERNEL
#undef OPPARAMS
    {0, NULL, NULL, NULL, 0, 0, 0},
};
const uint32_t edged_kernel_count = sizeof edged_kernels / sizeof *edged_kernels - 1;

const edged_op_params edged_ops[] = {
#define KERNEL(arch, op, function, mr, nr, kr)
#define OPPARAMS(op, name) {#op, #name},
#include "kernels.inc"
#undef KERNEL
#undef OPPARAMS
    {NULL, NULL},
};
const uint32_t edged_op_count = sizeof edged_ops / sizeof *edged_ops - 1;

#define I(field) {#field, 'i'},
#define F(field) {#field, 'f'},
#define PARAMS(struct_name, list) static const edged_field fields_of_##struct_name[] = {list{NULL, 0}};
#include "params.inc"
#undef PARAMS

const edged_struct edged_structs[] = {
#define PARAMS(struct_name, list) {#struct_name, fields_of_##struct_name},
#include "params.inc"
#undef PARAMS
    {NULL, NULL},
};
const uint32_t edged_struct_count = sizeof edged_structs / sizeof *edged_structs - 1;
