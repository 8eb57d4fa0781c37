/* int8 convolution and fully connected layers for armv7e-m: two pixels by two channels, two products an instruction.
 * Packed weights with NR = KR = 1 are the plain [out_c][depth]. Scratch: the windows of two pixels as int16 pairs, then one as bytes. */
#include <string.h>

#include "../abi.h"
#include "../fixedpoint.h"
#include "../params.h"
#include "../simd_dsp.h"
#include "window.h"

/* `n` elements as pairs (0, 2), (1, 3), ...; zeros behind them up to a multiple of 4. */
static void widen(const int8_t *from, int32_t n, uint32_t *to) {
    for (int32_t k = n >> 2; k > 0; k--, from += 4, to += 2) {
        const uint32_t word = edged_load4(from);
        to[0] = (uint32_t)edged_even(word);
        to[1] = (uint32_t)edged_odd(word);
    }
    if (n & 3) {
        const uint32_t word = edged_load_some(from, n & 3);
        to[0] = (uint32_t)edged_even(word);
        to[1] = (uint32_t)edged_odd(word);
    }
}

/* The sum of all pairs. */
static int32_t total_of(const uint32_t *pairs, int32_t words) {
    int32_t sum = 0;
    for (int32_t i = 0; i < words; i++) sum = edged_dot2((int16x2_t)pairs[i], edged_pair(1), sum);
    return sum;
}

/* The window of output pixel (y, x); outside the image lies the zero point. */
static const int8_t *window_of(const edged_conv_s8_params *p, const int8_t *image, int32_t y, int32_t x, int8_t *room) {
    if (p->kernel_h == 1 && p->kernel_w == 1 && p->pad_top == 0 && p->pad_left == 0) {
        return image + ((ptrdiff_t)y * p->stride_h * p->in_w + (ptrdiff_t)x * p->stride_w) * p->in_pitch + p->in_first;
    }
    int8_t *to = room;
    for (int32_t ky = 0; ky < p->kernel_h; ky++) {
        const int32_t iy = y * p->stride_h - p->pad_top + ky * p->dilation_h;
        for (int32_t kx = 0; kx < p->kernel_w; kx++, to += p->in_c) {
            const int32_t ix = x * p->stride_w - p->pad_left + kx * p->dilation_w;
            if (iy < 0 || iy >= p->in_h || ix < 0 || ix >= p->in_w)
                memset(to, p->input_zero, (size_t)p->in_c);
            else
                memcpy(to, image + ((ptrdiff_t)iy * p->in_w + ix) * p->in_pitch + p->in_first, (size_t)p->in_c);
        }
    }
    return room;
}

/* sums: channel 0 of pixel 0 and 1, channel 1 of pixel 0 and 1. */
static void tile(const uint32_t *a0, const uint32_t *a1, const int8_t *w0, const int8_t *w1, int32_t depth, int32_t sums[4]) {
    int32_t s00 = sums[0], s01 = sums[1], s10 = sums[2], s11 = sums[3];
    for (int32_t k = depth >> 2; k > 0; k--) {
        const uint32_t u = edged_load4(w0), v = edged_load4(w1);
        const int16x2_t x0 = (int16x2_t)a0[0], x1 = (int16x2_t)a1[0], y0 = (int16x2_t)a0[1], y1 = (int16x2_t)a1[1];
        int16x2_t w = edged_even(u);
        s00 = edged_dot2(w, x0, s00), s01 = edged_dot2(w, x1, s01);
        w = edged_odd(u);
        s00 = edged_dot2(w, y0, s00), s01 = edged_dot2(w, y1, s01);
        w = edged_even(v);
        s10 = edged_dot2(w, x0, s10), s11 = edged_dot2(w, x1, s11);
        w = edged_odd(v);
        s10 = edged_dot2(w, y0, s10), s11 = edged_dot2(w, y1, s11);
        a0 += 2, a1 += 2, w0 += 4, w1 += 4;
    }
    if (depth & 3) {
        const uint32_t u = edged_load_some(w0, depth & 3), v = edged_load_some(w1, depth & 3);
        s00 = edged_dot2(edged_even(u), (int16x2_t)a0[0], edged_dot2(edged_odd(u), (int16x2_t)a0[1], s00));
        s01 = edged_dot2(edged_even(u), (int16x2_t)a1[0], edged_dot2(edged_odd(u), (int16x2_t)a1[1], s01));
        s10 = edged_dot2(edged_even(v), (int16x2_t)a0[0], edged_dot2(edged_odd(v), (int16x2_t)a0[1], s10));
        s11 = edged_dot2(edged_even(v), (int16x2_t)a1[0], edged_dot2(edged_odd(v), (int16x2_t)a1[1], s11));
    }
    sums[0] = s00, sums[1] = s01, sums[2] = s10, sums[3] = s11;
}

/* TFLite's ADD of a finished output and the residual. */
static int32_t add_residual(const edged_conv_s8_params *p, int32_t v, int32_t r) {
    const int32_t a = edged_requantise(edged_shift_left(v - p->output_zero, 20), p->mult1, p->shift1);
    const int32_t b = edged_requantise(edged_shift_left(r - p->zero2, 20), p->mult2, p->shift2);
    const int32_t sum = edged_requantise(edged_wrapping_add(a, b), p->mult3, p->shift3);
    return edged_clamp(edged_wrapping_add(sum, p->zero3), p->add_min, p->add_max);
}

/* Two pixels (the second may be the first again), all channels of the band. */
static void two_pixels(const edged_conv_s8_params *p, void *const *operands, const uint32_t *rows[2], const int32_t totals[2],
                       const ptrdiff_t pixels[2], const edged_band *b, int32_t depth) {
    const int32_t *bias = operands[3], *multiplier = operands[4];
    const int8_t *shift = operands[5];
    const int8_t *residual = operands[6], *weights = operands[2];
    for (int32_t n = b->channel; n < b->channel_end; n += 2) {
        const int32_t m = n + 1 < b->channel_end ? n + 1 : n;
        int32_t sums[4] = {bias[n], bias[n], bias[m], bias[m]};
        tile(rows[0], rows[1], weights + (ptrdiff_t)n * depth, weights + (ptrdiff_t)m * depth, depth, sums);
        for (int32_t i = 0; i < 4; i++) {
            const int32_t c = i < 2 ? n : m, pixel = i & 1;
            if ((i >= 2 && m == n) || (pixel && pixels[1] == pixels[0])) continue; /* the residual may lie where the output goes: once */
            int32_t v = (int32_t)((uint32_t)sums[i] - (uint32_t)p->weight_zero * (uint32_t)totals[pixel]);
            v = edged_finish_s8(v, multiplier[c], shift[c], p->output_zero, p->act_min, p->act_max);
            ((int8_t *)operands[0])[pixels[pixel] + c] = (int8_t)(residual ? add_residual(p, v, residual[pixels[pixel] + c]) : v);
        }
    }
}

void conv_s8_2x2_dsp(const void *params, void *const *operands, const edged_task *task) {
    const edged_conv_s8_params *p = params;
    const int32_t depth = p->kernel_h * p->kernel_w * p->in_c, words = (depth + 3) / 4 * 2;
    uint32_t *const rows = task->scratch;
    int8_t *const room = (int8_t *)(rows + 2 * words);
    for (uint32_t unit = task->begin; unit < task->end; unit++) {
        const edged_band b = edged_band_of(unit, p->out_h, p->band, p->out_c, p->columns);
        const int8_t *image = (const int8_t *)operands[1] + (ptrdiff_t)b.image * p->in_h * p->in_w * p->in_pitch;
        const int32_t count = (b.row_end - b.row) * p->out_w;
        int32_t y = b.row, x = 0;
        for (int32_t done = 0; done < count; done += 2) {
            const uint32_t *both[2];
            int32_t totals[2];
            ptrdiff_t pixels[2];
            for (int32_t i = 0; i < 2; i++) {
                if (done + i == count) { /* an odd one out */
                    both[1] = both[0], totals[1] = totals[0], pixels[1] = pixels[0];
                    break;
                }
                both[i] = rows + i * words;
                widen(window_of(p, image, y, x, room), depth, rows + i * words);
                totals[i] = p->weight_zero ? total_of(both[i], words) : 0;
                pixels[i] = (((ptrdiff_t)b.image * p->out_h + y) * p->out_w + x) * p->out_pitch + p->out_first;
                if (++x == p->out_w) x = 0, y++;
            }
            two_pixels(p, operands, both, totals, pixels, &b, depth);
        }
    }
}

/* ---- fully connected ---- */

enum { ROWS = 4 };

/* One vector with the rows of four channels. */
static void four_rows(const int8_t *a, const int8_t *w, ptrdiff_t row, int32_t depth, int32_t sums[ROWS]) {
    const int8_t *w1 = w + row, *w2 = w1 + row, *w3 = w2 + row, *const end = a + depth / 4 * 4;
    int32_t s0 = sums[0], s1 = sums[1], s2 = sums[2], s3 = sums[3];
    for (; a < end; a += 4, w += 4, w1 += 4, w2 += 4, w3 += 4) {
        const uint32_t word = edged_load4(a);
        const int16x2_t x = edged_even(word), y = edged_odd(word);
        uint32_t u = edged_load4(w);
        s0 = edged_dot2(edged_odd(u), y, edged_dot2(edged_even(u), x, s0));
        u = edged_load4(w1);
        s1 = edged_dot2(edged_odd(u), y, edged_dot2(edged_even(u), x, s1));
        u = edged_load4(w2);
        s2 = edged_dot2(edged_odd(u), y, edged_dot2(edged_even(u), x, s2));
        u = edged_load4(w3);
        s3 = edged_dot2(edged_odd(u), y, edged_dot2(edged_even(u), x, s3));
    }
    for (int32_t k = 0; k < (depth & 3); k++) {
        s0 = edged_wrapping_add(s0, a[k] * w[k]), s1 = edged_wrapping_add(s1, a[k] * w1[k]);
        s2 = edged_wrapping_add(s2, a[k] * w2[k]), s3 = edged_wrapping_add(s3, a[k] * w3[k]);
    }
    sums[0] = s0, sums[1] = s1, sums[2] = s2, sums[3] = s3;
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
                four_rows(a, w, p->depth, p->depth, sums);
            else
                for (int32_t i = 0; i < count; i++) { /* the one row four times: what lies behind the last is not read */
                    int32_t same[ROWS] = {sums[i], 0, 0, 0};
                    four_rows(a, w + (ptrdiff_t)i * p->depth, 0, p->depth, same);
                    sums[i] = same[0];
                }
            for (int32_t i = 0; i < count; i++) {
                const int32_t c = n + i;
                out[c] = (int8_t)edged_finish_s8(sums[i], multiplier[c], shift[c], p->output_zero, p->act_min, p->act_max);
            }
        }
    }
}
