/* f32 pairs, portable C. */
#define KERNEL_NAME(op) op##_scalar
#include "f32.inc"

static float floor_mod(float x, float y) {
    const float rest = fmodf(x, y);
    return rest != 0.0f && (rest < 0.0f) != (y < 0.0f) ? rest + y : rest;
}

F32(floor_div_f32, floorf(x / y))
F32(floor_mod_f32, floor_mod(x, y))
F32(pow_f32, powf(x, y))
