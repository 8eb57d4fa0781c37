/* Audio frames and filter bank channels: windows, scaling, energies, sums, roots, noise subtraction, gain, logarithms. Unsigned arithmetic wraps. */
#include <stddef.h>

#include "../abi.h"
#include "../fixed_functions.h"
#include "../params.h"

void signal_window_scalar(const void *params, void *const *operands, const edged_task *task) {
    const edged_signal_window_params *p = params;
    const int16_t *in = operands[1], *weights = operands[2];
    for (uint32_t i = task->begin; i < task->end; i++) {
        const int32_t product = in[i] * weights[i % (uint32_t)p->size];
        ((int16_t *)operands[0])[i] = (int16_t)edged_clamp(product >> p->shift, INT16_MIN, INT16_MAX);
    }
}

/* After -32768, whose magnitude an int16 has not, counting starts anew, as in TFLite Micro. */
void signal_auto_scale_scalar(const void *params, void *const *operands, const edged_task *task) {
    const edged_signal_auto_scale_params *p = params;
    const int16_t *in = operands[2];
    int32_t most = 0;
    (void)task;
    for (int32_t i = 0; i < p->n; i++) {
        const int32_t x = in[i];
        if (x > most) most = x;
        else if (-x > most) most = x > INT16_MIN ? -x : INT16_MIN;
    }
    const int32_t used = most > 0 ? edged_bits_of((uint32_t)most) : 15, bits = used < 15 ? 15 - used : 0;
    *(int32_t *)operands[1] = bits;
    for (int32_t i = 0; i < p->n; i++) ((uint16_t *)operands[0])[i] = (uint16_t)((uint32_t)in[i] << bits);
}

void signal_energy_scalar(const void *params, void *const *operands, const edged_task *task) {
    const edged_signal_energy_params *p = params;
    const int16_t *in = operands[1];
    for (uint32_t i = task->begin; i < task->end; i++) {
        const uint32_t re = (uint32_t)(in[2 * i] * in[2 * i]), im = (uint32_t)(in[2 * i + 1] * in[2 * i + 1]);
        ((uint32_t *)operands[0])[i] = (int32_t)i >= p->start && (int32_t)i < p->end ? re + im : 0;
    }
}

static uint64_t dot(const uint32_t *energies, const int16_t *weights, int32_t n) {
    uint64_t sum = 0;
    for (int32_t i = 0; i < n; i++) sum += (uint64_t)energies[i] * (uint64_t)(int64_t)weights[i];
    return sum;
}

void signal_filter_bank_scalar(const void *params, void *const *operands, const edged_task *task) {
    const edged_signal_filter_bank_params *p = params;
    const int16_t *starts = operands[4], *places = operands[5], *widths = operands[6];
    uint64_t carried = 0;
    (void)task;
    for (int32_t c = 0; c <= p->channels; c++) {
        const uint32_t *from = (const uint32_t *)operands[1] + (widths[c] > 0 ? starts[c] : 0);
        const ptrdiff_t place = widths[c] > 0 ? places[c] : 0;
        const uint64_t whole = carried + dot(from, (const int16_t *)operands[2] + place, widths[c]);
        carried = dot(from, (const int16_t *)operands[3] + place, widths[c]);
        if (c > 0) ((uint64_t *)operands[0])[c - 1] = whole;
    }
}

/* Rounded to the nearest, within 16 bits for a 32-bit value and 32 for a longer one. */
static uint32_t root_of(uint64_t value) {
    uint64_t root = 0, rest = value;
    for (uint64_t bit = UINT64_C(1) << 62; bit != 0; bit >>= 2) {
        const uint64_t trial = root + bit;
        root >>= 1;
        if (rest >= trial) rest -= trial, root += bit;
    }
    const uint64_t highest = value <= UINT32_MAX ? UINT16_MAX : UINT32_MAX;
    return (uint32_t)(rest > root && root != highest ? root + 1 : root);
}

void signal_root_scalar(const void *params, void *const *operands, const edged_task *task) {
    const uint64_t *in = operands[1];
    const uint32_t bits = *(const volatile uint32_t *)operands[2] & 31u;
    (void)params;
    for (uint32_t i = task->begin; i < task->end; i++) ((uint32_t *)operands[0])[i] = root_of(in[i]) >> bits;
}

void signal_subtract_scalar(const void *params, void *const *operands, const edged_task *task) {
    const edged_signal_subtract_params *p = params;
    uint32_t *noise = operands[2];
    for (uint32_t i = task->begin; i < task->end; i++) {
        const uint32_t x = ((const uint32_t *)operands[3])[i], scaled = x << p->bits;
        const uint64_t fresh = (uint32_t)(i % 2 ? p->new1 : p->new0), old = (uint32_t)(i % 2 ? p->old1 : p->old0);
        const uint32_t estimate = (uint32_t)((scaled * fresh + noise[i] * old) >> p->scale);
        const uint32_t capped = estimate < scaled ? estimate : scaled, floor = (uint32_t)(((uint64_t)x * (uint32_t)p->least) >> p->scale);
        const uint32_t left = (scaled - capped) >> p->bits;
        noise[i] = p->clamping ? capped : estimate;
        ((uint32_t *)operands[1])[i] = noise[i];
        ((uint32_t *)operands[0])[i] = left > floor ? left : floor;
    }
}

/* A function by quadratic pieces, one for every power of two: WideDynamicFunction. */
static int32_t gain(uint32_t x, const int16_t *table) {
    if (x <= 2) return table[x];
    const int32_t interval = edged_bits_of(x);
    const int16_t *piece = table + 4 * interval - 6;
    const int32_t fraction = (int32_t)((interval < 11 ? x << (11 - interval) : x >> (interval - 11)) & 0x3FFu);
    const int32_t slope = ((piece[2] * fraction) >> 5) + piece[1] * 32;
    const int32_t bent = (int32_t)(((int64_t)(int32_t)((uint32_t)slope * (uint32_t)fraction) + (1 << 14)) >> 15);
    return (int16_t)(uint16_t)(uint32_t)(bent + piece[0]);
}

void signal_pcan_scalar(const void *params, void *const *operands, const edged_task *task) {
    const edged_signal_pcan_params *p = params;
    for (uint32_t i = task->begin; i < task->end; i++) {
        const uint32_t estimate = ((const volatile uint32_t *)operands[2])[i]; /* read once: it chooses the piece */
        const uint64_t product = (uint64_t)((const uint32_t *)operands[1])[i] * (uint32_t)gain(estimate, operands[3]);
        const uint32_t ratio = (uint32_t)(product >> p->shift);
        ((uint32_t *)operands[0])[i] = ratio < 2u << 12 ? (ratio * ratio) >> 20 : (ratio >> 6) - (1u << 6);
    }
}

static uint32_t logarithm(uint32_t x, uint32_t scale, const int32_t *table) {
    const int32_t whole = edged_bits_of(x) - 1;
    const uint32_t rest = x - (UINT32_C(1) << whole);
    const int32_t fraction = (int32_t)(whole < 16 ? rest << (16 - whole) : rest >> (whole - 16)), segment = fraction >> 9;
    const int32_t rise = table[segment + 1] - table[segment];
    const int32_t bent = fraction + table[segment] + ((rise * (fraction - (segment << 9))) >> 16);
    const uint32_t natural = (uint32_t)((UINT64_C(45426) * (uint32_t)((whole << 16) + bent) + 32768u) >> 16);
    return (scale * natural + 32768u) >> 16;
}

void signal_log_scalar(const void *params, void *const *operands, const edged_task *task) {
    const edged_signal_log_params *p = params;
    for (uint32_t i = task->begin; i < task->end; i++) {
        const uint32_t x = ((const volatile uint32_t *)operands[1])[i] << p->bits; /* read once: it chooses the segment */
        const uint32_t value = x > 1 ? logarithm(x, (uint32_t)p->scale, operands[2]) : 0;
        ((int16_t *)operands[0])[i] = (int16_t)(value < INT16_MAX ? value : INT16_MAX);
    }
}
