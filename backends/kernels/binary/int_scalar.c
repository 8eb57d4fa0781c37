/* Plain integers and bools in pairs. Sums and products wrap; a division by zero gives 0 (TFLite refuses it at run time). */
#include "../fixedpoint.h"
#include "rows.h"

#define INT(op, T, U, EXPRESSION) EDGED_BINARY(op##_scalar, edged_binary_int_params, T, U, EXPRESSION)

static int64_t quotient(int64_t x, int64_t y) {
    return y == 0 ? 0 : y == -1 ? (int64_t)(0u - (uint64_t)x) : x / y;
}

static int64_t rest(int64_t x, int64_t y) {
    return y == 0 || y == -1 ? 0 : x % y;
}

static int64_t floor_quotient(int64_t x, int64_t y) {
    const int64_t r = rest(x, y);
    return quotient(x, y) - (r != 0 && (r < 0) != (y < 0));
}

static int64_t floor_rest(int64_t x, int64_t y) {
    const int64_t r = rest(x, y);
    return r != 0 && (r < 0) != (y < 0) ? r + y : r;
}

static uint32_t power(int32_t x, int32_t y) {
    uint32_t result = 1, factor = (uint32_t)x;
    for (uint32_t n = y < 0 ? 0 : (uint32_t)y; n != 0; n >>= 1, factor *= factor) {
        result *= n & 1 ? factor : 1;
    }
    return y < 0 ? (x == 1 ? 1u : x == -1 ? (y & 1 ? UINT32_MAX : 1u) : 0u) : result;
}

#define CLAMPED(v) edged_clamp((int32_t)(v), p->low, p->high)

INT(add_s32, int32_t, int32_t, CLAMPED((uint32_t)x + (uint32_t)y))
INT(sub_s32, int32_t, int32_t, CLAMPED((uint32_t)x - (uint32_t)y))
INT(mul_s32, int32_t, int32_t, CLAMPED((uint32_t)x * (uint32_t)y))
INT(div_s32, int32_t, int32_t, CLAMPED(quotient(x, y)))
INT(floor_div_s32, int32_t, int32_t, floor_quotient(x, y))
INT(floor_mod_s32, int32_t, int32_t, floor_rest(x, y))
INT(squared_difference_s32, int32_t, uint32_t, ((uint32_t)x - (uint32_t)y) * ((uint32_t)x - (uint32_t)y))
INT(pow_s32, int32_t, uint32_t, power(x, y))
/* The bounds of int32 stand for none. */
static int64_t clamped(uint64_t v, const edged_binary_int_params *p) {
    const int64_t x = (int64_t)v;
    if (p->low != INT32_MIN && x < p->low) return p->low;
    return p->high != INT32_MAX && x > p->high ? p->high : x;
}

INT(add_s64, int64_t, int64_t, clamped((uint64_t)x + (uint64_t)y, p))
INT(sub_s64, int64_t, int64_t, clamped((uint64_t)x - (uint64_t)y, p))
INT(mul_s64, int64_t, int64_t, clamped((uint64_t)x *(uint64_t)y, p))
INT(floor_div_s64, int64_t, int64_t, floor_quotient(x, y))
INT(floor_mod_s64, int64_t, int64_t, floor_rest(x, y))
INT(and_bool, uint8_t, uint8_t, (x != 0) & (y != 0))
INT(or_bool, uint8_t, uint8_t, (x != 0) | (y != 0))

#define ORDER(suffix, T)                                                                                                        \
    INT(max_##suffix, T, T, x > y ? x : y)                                                                                       \
    INT(min_##suffix, T, T, x < y ? x : y)                                                                                       \
    INT(eq_##suffix, T, uint8_t, x == y)                                                                                         \
    INT(ne_##suffix, T, uint8_t, x != y)                                                                                         \
    INT(lt_##suffix, T, uint8_t, x < y)                                                                                          \
    INT(le_##suffix, T, uint8_t, x <= y)

ORDER(s8, int8_t)
ORDER(s16, int16_t)
ORDER(s32, int32_t)
ORDER(s64, int64_t)
