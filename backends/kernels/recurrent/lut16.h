/* Logistic and tanh of 16-bit numbers by TFLite Micro's table: logistic(i / 24) * 2^16 for i in 0 ... 255, interpolated. Bit-identical to
 * edged.graph.ops.lut. */
#ifndef EDGED_LUT16_H
#define EDGED_LUT16_H

#include <stdint.h>

/* Steps of 1 / (3 * 4096) to logistic * 2^15. */
static inline int32_t edged_logistic_lut16(int32_t steps, const int32_t *table) {
    const int32_t size = steps < 0 ? -steps : steps, at = size >> 9 < 255 ? size >> 9 : 254;
    const int32_t inside = (table[at] << 9) + (size & 0x1FF) * (table[at + 1] - table[at]);
    const int32_t value = size >> 9 >= 255 ? 0x7FFF << 10 : inside;
    return (steps >= 0 ? value + (1 << 9) : (1 << 25) - value + (1 << 9) - 1) >> 10;
}

/* 2 logistic(2 x) - 1, in the same table. */
static inline int32_t edged_tanh_lut16(int32_t steps, const int32_t *table) {
    const int32_t size = steps < 0 ? -steps : steps, at = size >> 8 < 255 ? size >> 8 : 254;
    const int32_t inside = (table[at] << 8) + (size & 0xFF) * (table[at + 1] - table[at]);
    const int32_t value = size >> 8 >= 255 ? 0xFFFF << 8 : inside;
    return (steps >= 0 ? value - (1 << 23) + (1 << 7) : -value + (1 << 23) + (1 << 7) - 1) >> 8;
}

/* An int16 in steps of 1 / (3 * 4096). */
static inline int32_t edged_lut16_steps(int32_t x, int32_t multiplier, int32_t shift) {
    return (int32_t)(((int64_t)x * multiplier + (shift > 0 ? INT64_C(1) << (shift - 1) : 0)) >> shift);
}

#endif
