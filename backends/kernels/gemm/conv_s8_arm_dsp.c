/* int8 convolution and fully connected layers for armv7e-m: two pixels by two channels, two products an instruction.
 * Convolutions have packed weights with NR = 2 and KR = 4: four of the depth of one channel, the same four of the next one, and so on. Scratch: the
 * windows of two pixels as int16 pairs by turns, four words for four of the depth, then one window as bytes. */
#include <string.h>

#include "../abi.h"
#include "../fixedpoint.h"
#include "../params.h"
#include "../simd_dsp.h"

enum { PIXELS = 2, CHANNELS = 2, WORDS = 2 * PIXELS };

/* `n` elements as pairs (0, 2), (1, 3), ...; zeros behind them up to a multiple of 4. */
static void widen(const int8_t *from, int32_t n, uint32_t *to) {
    for (; n >= 4; n -= 4, from += 4, to += WORDS) {
        const uint32_t word = edged_load4(from);
        to[0] = (uint32_t)edged_even(word);
        to[1] = (uint32_t)edged_odd(word);
    }
    if (n > 0) {
        const uint32_t word = edged_load_some(from, n);
        to[0] = (uint32_t)edged_even(word);
        to[1] = (uint32_t)edged_odd(word);
    }
}

/* The sum of one pixel's pairs. */
static int32_t total_of(const uint32_t *pairs, int32_t fours) {
    int32_t sum = 0;
    for (; fours > 0; fours--, pairs += WORDS) {
        sum = edged_dot2((int16x2_t)pairs[0], edged_pair(1), sum);
        sum = edged_dot2((int16x2_t)pairs[1], edged_pair(1), sum);
    }
    return sum;
}

/* (memcpy and memset, for a few bytes at a time; the barrier keeps compilers from making calls of them) */
static void copy(int8_t *to, const int8_t *from, int32_t n) {
    for (; n >= 4; n -= 4, from += 4, to += 4) {
        const uint32_t word = edged_load4(from);
        __asm__("" ::: "memory");
        memcpy(to, &word, 4);
    }
    for (; n > 0; n--) {
        *to++ = *from++;
        __asm__("" ::: "memory");
    }
}

static void fill(int8_t *to, int8_t with, int32_t n) {
    for (; n > 0; n--) {
        *to++ = with;
        __asm__("" ::: "memory");
    }
}

#define COPY copy
#define FILL fill
#include "one_window.inc"

/* Adds to `sums` (channel 0 of pixel 0 and 1, channel 1 of pixel 0 and 1) the products of `fours` times four of the depth; at least one. All fourteen
 * registers are in use: no compiler keeps them so. */
static __attribute__((naked, noinline)) void tile(const uint32_t *pairs __attribute__((unused)), const int8_t *weights __attribute__((unused)),
                                                  int32_t fours __attribute__((unused)), int32_t sums[4] __attribute__((unused))) {
    __asm__("push   {r3-r11, lr}\n"
            "ldmia  r3, {r4-r7}\n"
            "1:\n"
            "ldmia  r0!, {r8-r11}\n" /* pixel 0 even, odd, pixel 1 even, odd */
            "ldr    r12, [r1], #4\n"
            "sxtb16 lr, r12\n"
            "sxtb16 r12, r12, ror #8\n"
            "smlad  r4, lr, r8, r4\n"
            "smlad  r5, lr, r10, r5\n"
            "smlad  r4, r12, r9, r4\n"
            "smlad  r5, r12, r11, r5\n"
            "ldr    r12, [r1], #4\n"
            "sxtb16 lr, r12\n"
            "sxtb16 r12, r12, ror #8\n"
            "smlad  r6, lr, r8, r6\n"
            "smlad  r7, lr, r10, r7\n"
            "smlad  r6, r12, r9, r6\n"
            "smlad  r7, r12, r11, r7\n"
            "subs   r2, r2, #1\n"
            "bne    1b\n"
            "pop    {r3}\n"
            "stmia  r3, {r4-r7}\n"
            "pop    {r4-r11, pc}\n");
}

/* TFLite's ADD of a finished output and the residual. */
static __attribute__((noinline)) int32_t add_residual(const edged_conv_s8_params *p, int32_t v, int32_t r) {
    const int32_t a = edged_rescaled(edged_shift_left(v - p->output_zero, 20), p->mult1, p->shift1);
    const int32_t b = edged_rescaled(edged_shift_left(r - p->zero2, 20), p->mult2, p->shift2);
    const int32_t sum = edged_rescaled(edged_wrapping_add(a, b), p->mult3, p->shift3);
    return edged_clamp(edged_wrapping_add(sum, p->zero3), p->add_min, p->add_max);
}

/* Where the outputs of two pixels go, of which the second may be the first again. */
typedef struct pixel_pair {
    const edged_conv_s8_params *p;
    int8_t *out0, *out1;
    const int8_t *residual0, *residual1; /* NULL: none */
    int32_t zero, full, low, high;       /* p's own, which any int8 that is stored might change for all that the compiler knows */
} pixel_pair;

/* The outputs of channel c from its two sums. */
static inline void finish(const pixel_pair *to, int32_t c, int32_t sum0, int32_t sum1, int32_t multiplier, int32_t shift) {
    int32_t v0 = edged_finished_s8(sum0, multiplier, shift, to->zero, to->full, to->low, to->high);
    int32_t v1 = edged_finished_s8(sum1, multiplier, shift, to->zero, to->full, to->low, to->high);
    if (to->residual0) { /* read for both before either is written: it may lie where the outputs go, and both may be one */
        const int32_t r0 = to->residual0[c], r1 = to->residual1[c];
        v0 = add_residual(to->p, v0, r0), v1 = add_residual(to->p, v1, r1);
    }
    to->out0[c] = (int8_t)v0, to->out1[c] = (int8_t)v1;
}

/* All channels of the band. */
static void two_pixels(const pixel_pair *to, void *const *operands, const uint32_t *pairs, const int32_t totals[PIXELS], const edged_band *b, int32_t fours) {
    const int32_t *bias = operands[3], *multiplier = operands[4];
    const int8_t *shift = operands[5], *weights = (const int8_t *)operands[2] + (ptrdiff_t)b->channel * fours * 4;
    for (int32_t n = b->channel; n < b->channel_end; n += CHANNELS, weights += (ptrdiff_t)CHANNELS * 4 * fours) {
        const uint32_t b0 = (uint32_t)bias[n], b1 = (uint32_t)bias[n + 1], t0 = (uint32_t)totals[0], t1 = (uint32_t)totals[1];
        int32_t sums[CHANNELS * PIXELS] = {(int32_t)(b0 + t0), (int32_t)(b0 + t1), (int32_t)(b1 + t0), (int32_t)(b1 + t1)};
        tile(pairs, weights, fours, sums);
        finish(to, n, sums[0], sums[1], multiplier[n], shift[n]);
        if (n + 1 < b->channel_end) finish(to, n + 1, sums[2], sums[3], multiplier[n + 1], shift[n + 1]);
    }
}

void conv_s8_2x2_dsp(const void *params, void *const *operands, const edged_task *task) {
    const edged_conv_s8_params *p = params;
    const int32_t depth = p->kernel_h * p->kernel_w * p->in_c, fours = (depth + 3) / 4;
    uint32_t *const pairs = task->scratch;
    int8_t *const room = (int8_t *)(pairs + fours * WORDS), *const out = operands[0];
    const int8_t *residual = operands[6];
    const int32_t full = p->act_min == INT8_MIN && p->act_max == INT8_MAX;
    for (uint32_t unit = task->begin; unit < task->end; unit++) {
        const edged_band b = edged_band_of(unit, p->out_h, p->band, p->out_c, p->columns);
        const int8_t *image = (const int8_t *)operands[1] + (ptrdiff_t)b.image * p->in_h * p->in_w * p->in_pitch;
        const int32_t count = (b.row_end - b.row) * p->out_w;
        ptrdiff_t pixel = ((ptrdiff_t)b.image * p->out_h + b.row) * p->out_w * p->out_pitch + p->out_first;
        for (int32_t done = 0, y = b.row, x = 0; done < count; done += PIXELS) {
            ptrdiff_t pixels[PIXELS];
            int32_t totals[PIXELS] = {0, 0};
            for (int32_t i = 0; i < PIXELS; i++) {
                widen(window_of(p, image, y, x, room), depth, pairs + 2 * i);
                if (p->weight_zero) totals[i] = -p->weight_zero * total_of(pairs + 2 * i, fours);
                pixels[i] = pixel;
                if (done + i + 1 >= count) continue; /* an odd one out comes twice */
                pixel += p->out_pitch;
                if (++x == p->out_w) x = 0, y++;
            }
            const pixel_pair to = {p, out + pixels[0], out + pixels[1], residual ? residual + pixels[0] : NULL, residual ? residual + pixels[1] : NULL,
                                   p->output_zero, full, p->act_min, p->act_max};
            two_pixels(&to, operands, pairs, totals, &b, fours);
        }
    }
}

/* ---- fully connected ---- */

enum { ROWS = 4 };

/* Adds to `sums` the products of one vector with the rows of four channels, `row` apart: `fours` times four of the depth; at least one. */
static __attribute__((naked, noinline)) void four_rows(const int8_t *a __attribute__((unused)), const int8_t *weights __attribute__((unused)),
                                                       ptrdiff_t row __attribute__((unused)), int32_t fours __attribute__((unused)),
                                                       int32_t sums[ROWS] __attribute__((unused))) {
#define CHANNEL(sum, offset)                                                                                                    \
    "ldr    r11, [r1" offset "]\n"                                                                                             \
    "sxtb16 r10, r11\n"                                                                                                        \
    "sxtb16 r11, r11, ror #8\n"                                                                                                \
    "smlad  " sum ", r8, r10, " sum "\n"                                                                                       \
    "smlad  " sum ", r9, r11, " sum "\n"
    __asm__("push   {r4-r11, lr}\n"
            "ldr    r12, [sp, #36]\n"
            "ldmia  r12, {r4-r7}\n"
            "add    lr, r2, r2, lsl #1\n"
            "1:\n"
            "ldr    r9, [r0], #4\n"
            "sxtb16 r8, r9\n"
            "sxtb16 r9, r9, ror #8\n"
            CHANNEL("r4", "")
            CHANNEL("r5", ", r2")
            CHANNEL("r6", ", r2, lsl #1")
            CHANNEL("r7", ", lr")
            "add    r1, r1, #4\n"
            "subs   r3, r3, #1\n"
            "bne    1b\n"
            "stmia  r12, {r4-r7}\n"
            "pop    {r4-r11, pc}\n");
#undef CHANNEL
}

/* The same for any depth. row 0: one channel four times. */
static __attribute__((noinline)) void rows_of(const int8_t *a, const int8_t *w, ptrdiff_t row, int32_t depth, int32_t sums[ROWS]) {
    if (depth >= 4) four_rows(a, w, row, depth / 4, sums);
    for (int32_t k = depth / 4 * 4; k < depth; k++)
        for (int32_t i = 0; i < ROWS; i++) sums[i] = edged_wrapping_add(sums[i], a[k] * w[i * row + k]);
}

static int32_t sum_of(const int8_t *a, int32_t n) {
    int32_t sum = 0;
    for (int32_t i = 0; i < n; i++) sum += a[i];
    return sum;
}

void fc_s8_1x4_dsp(const void *params, void *const *operands, const edged_task *task) {
    const edged_fc_s8_params *p = params;
    const int32_t *bias = operands[3], *multiplier = operands[4];
    const int8_t *shift = operands[5];
    const int32_t last = (int32_t)task->end * p->columns, end = last < p->out_c ? last : p->out_c;
    for (int32_t m = 0; m < p->rows; m++) {
        const int8_t *a = (const int8_t *)operands[1] + (ptrdiff_t)m * p->depth;
        int8_t *out = (int8_t *)operands[0] + (ptrdiff_t)m * p->out_c;
        const uint32_t offset = p->weight_zero ? (uint32_t)p->weight_zero * (uint32_t)sum_of(a, p->depth) : 0u;
        for (int32_t n = (int32_t)task->begin * p->columns; n < end; n += ROWS) {
            const int32_t count = end - n < ROWS ? end - n : ROWS;
            int32_t sums[ROWS] = {0};
            for (int32_t i = 0; i < count; i++) sums[i] = (int32_t)((uint32_t)bias[n + i] - offset);
            const int8_t *w = (const int8_t *)operands[2] + (ptrdiff_t)n * p->depth;
            if (count == ROWS)
                rows_of(a, w, p->depth, p->depth, sums);
            else
                for (int32_t i = 0; i < count; i++) { /* the one row four times: what lies behind the last is not read */
                    int32_t same[ROWS] = {sums[i], 0, 0, 0};
                    rows_of(a, w + (ptrdiff_t)i * p->depth, 0, p->depth, same);
                    sums[i] = same[0];
                }
            for (int32_t i = 0; i < count; i++) {
                const int32_t c = n + i;
                out[c] = (int8_t)edged_finished_s8(sums[i], multiplier[c], shift[c], p->output_zero, 0, p->act_min, p->act_max);
            }
        }
    }
}
