/* Parameter structs of all families, from one list each: C reads it as a struct, the Python extension as a table of field
 * names (so that a program is packed by name, never by position), the code generator as designated initialisers.
 *
 * Every field is 32 bits: I(name) is int32_t, F(name) is float. What needs no field has one that is named `none` and always 0, as
 * C99 has no empty structs. A family's list stands in its own folder,
 * FAMILY/params.inc, as rows PARAMS(struct, I(a) I(b) F(c) ...) with a comment that states operands and units.
 */
#ifndef EDGED_PARAMS_H
#define EDGED_PARAMS_H

#include <stdint.h>

#define I(name) int32_t name;
#define F(name) float name;
#define PARAMS(name, fields) typedef struct edged_##name##_params { fields } edged_##name##_params;
#include "params.inc"
#undef PARAMS
#undef F
#undef I

#endif
