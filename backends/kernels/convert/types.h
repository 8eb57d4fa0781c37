/* Element types of `cast`, as the lowering numbers them (edged_backends/lower/convert.py). */
#ifndef EDGED_CONVERT_TYPES_H
#define EDGED_CONVERT_TYPES_H

enum edged_cast_type {
    CAST_S8 = 0,
    CAST_U8 = 1,
    CAST_S16 = 2,
    CAST_U16 = 3,
    CAST_S32 = 4,
    CAST_U32 = 5,
    CAST_S64 = 6,
    CAST_F32 = 7,
    CAST_F64 = 8,
    CAST_BOOL = 9
};

#endif
