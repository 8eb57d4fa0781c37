/* int8 convolution and fully connected layers for Helium: one pixel's window with four channels at a time. Packed weights with NR = KR = 1 are
 * the plain [out_c][depth]. Scratch: the window, where it has to be gathered. */
#include "../abi.h"
#include "../params.h"
#include "../simd_mve.h"

#define COPY edged_copy
#define FILL edged_fill
#include "one_window.inc"

/* A run of channels of one vector. channels_of reads it word by word, and uses it up. */
typedef struct channels {
    const int8_t *shift;
    int8_t *out;
    int32_t offset, zero, low, high, left; /* offset: added to each sum; left: channels still to come */
    const int32_t *bias, *multiplier;
    const int8_t *weights;
    int32_t depth;
    ptrdiff_t row;                         /* from a channel's weights to the next one's */
} channels;

/* Four channels at a time of the vector `a`: products, bias, requantisation (edged_requantise_4), zero point, bounds. In assembly, since gcc 12 makes nothing
 * of loops that are predicated by their count (DLSTP), and keeps little of this in registers. */
static __attribute__((naked, noinline)) void channels_of(const int8_t *a __attribute__((unused)), channels *c __attribute__((unused))) {
    __asm__("push         {r4-r11, lr}\n"
            "vpush        {d8-d13}\n"
            "ldr          r2, [r1, #36]\n"     /* weights */
            "ldr          r3, [r1, #44]\n"     /* row */
            "ldrd         r4, r5, [r1, #16]\n" /* low, high */
            "vdup.32      q4, r4\n"
            "vdup.32      q5, r5\n"
            "vmov.i32     q6, #0\n"
            "1:\n"
            "ldr          r12, [r1, #40]\n"    /* depth */
            "mov          r5, r2\n"
            "add          r7, r2, r3\n"
            "add          r9, r7, r3\n"
            "add          r11, r9, r3\n"
            "ldr          r4, [r1, #8]\n"     /* offset */
            "mov          r6, r4\n"
            "mov          r8, r4\n"
            "mov          r10, r4\n"
            "dlstp.8      lr, r12\n"
            "mov          r12, r0\n"
            "2:\n"
            "vldrb.8      q0, [r12], #16\n"
            "vldrb.8      q1, [r5], #16\n"
            "vmladava.s8  r4, q0, q1\n"
            "vldrb.8      q1, [r7], #16\n"
            "vmladava.s8  r6, q0, q1\n"
            "vldrb.8      q1, [r9], #16\n"
            "vmladava.s8  r8, q0, q1\n"
            "vldrb.8      q1, [r11], #16\n"
            "vmladava.s8  r10, q0, q1\n"
            "letp         lr, 2b\n"
            "vmov.32      q0[0], r4\n"
            "vmov.32      q0[1], r6\n"
            "vmov.32      q0[2], r8\n"
            "vmov.32      q0[3], r10\n"
            "ldrd         r4, r6, [r1]\n"      /* shift, out */
            "ldrd         r5, r7, [r1, #28]\n" /* bias, multiplier */
            "ldr          r8, [r1, #12]\n"    /* zero */
            "ldr          r11, [r1, #24]\n"    /* left */
            "vctp.32      r11\n"
            "vpsttt\n"
            "vldrwt.u32   q1, [r5], #16\n"
            "vldrwt.u32   q2, [r7], #16\n"
            "vldrbt.s32   q3, [r4], #4\n"
            "vadd.i32     q0, q0, q1\n"
            "vmax.s32     q1, q3, q6\n"
            "vmin.s32     q3, q3, q6\n"
            "vshl.s32     q0, q0, q1\n"
            "vqrdmulh.s32 q0, q0, q2\n"
            "vand         q1, q0, q3\n"
            "vshr.s32     q1, q1, #31\n"
            "vqadd.s32    q0, q0, q1\n"
            "vrshl.s32    q0, q0, q3\n"
            "vadd.i32     q0, q0, r8\n"
            "vmax.s32     q0, q0, q4\n"
            "vmin.s32     q0, q0, q5\n"
            "vpst\n"
            "vstrbt.32    q0, [r6], #4\n"
            "strd         r4, r6, [r1]\n"
            "strd         r5, r7, [r1, #28]\n"
            "add          r2, r2, r3, lsl #2\n"
            "subs         r11, r11, #4\n"
            "str          r11, [r1, #24]\n"
            "bgt          1b\n"
            "vpop         {d8-d13}\n"
            "pop          {r4-r11, pc}\n");
}

/* Channels [n, n + count) of a vector `a`. The last ones, fewer than four, come one by one: behind their weights there is nothing to read. */
static void some_channels(const int8_t *a, channels *c, void *const *operands, int32_t n, int32_t count, int8_t *out) {
    c->out = out;
    for (int32_t step; count > 0; n += step, count -= step) {
        step = count < 4 ? 1 : count & ~3;
        c->left = step, c->row = step == 1 ? 0 : c->depth;
        c->bias = (const int32_t *)operands[3] + n, c->multiplier = (const int32_t *)operands[4] + n, c->shift = (const int8_t *)operands[5] + n;
        c->weights = (const int8_t *)operands[2] + (ptrdiff_t)n * c->depth;
        channels_of(a, c);
        c->out = out += step;
    }
}

/* TFLite's ADD of finished outputs and the residual. */
static int32x4_t residual_of(const edged_conv_s8_params *p, int32x4_t v, int32x4_t r) {
    const int32x4_t a = edged_requantise_4(vshlq_n_s32(vsubq_n_s32(v, p->output_zero), 20), vdupq_n_s32(p->mult1), vdupq_n_s32(p->shift1));
    const int32x4_t b = edged_requantise_4(vshlq_n_s32(vsubq_n_s32(r, p->zero2), 20), vdupq_n_s32(p->mult2), vdupq_n_s32(p->shift2));
    const int32x4_t sum = edged_requantise_4(vaddq_s32(a, b), vdupq_n_s32(p->mult3), vdupq_n_s32(p->shift3));
    return edged_clamp_4(vaddq_n_s32(sum, p->zero3), p->add_min, p->add_max);
}

/* Adds the residual to `count` outputs `made`. */
static __attribute__((noinline)) void add_residual(const edged_conv_s8_params *p, const int8_t *made, const int8_t *residual, int32_t count, int8_t *out) {
    for (; count > 0; count -= 4, made += 4, residual += 4, out += 4) {
        const mve_pred16_t there = vctp32q((uint32_t)count);
        vstrbq_p_s32(out, residual_of(p, vldrbq_z_s32(made, there), vldrbq_z_s32(residual, there)), there);
    }
}

enum { AT_ONCE = 64 }; /* channels with a residual: it may lie where the outputs go, which are made elsewhere first */

void conv_s8_1x4_mve(const void *params, void *const *operands, const edged_task *task) {
    const edged_conv_s8_params *p = params;
    const int8_t *residual = operands[6];
    channels layer = {.zero = p->output_zero, .low = p->act_min, .high = p->act_max, .depth = p->kernel_h * p->kernel_w * p->in_c};
    for (uint32_t unit = task->begin; unit < task->end; unit++) {
        const edged_band b = edged_band_of(unit, p->out_h, p->band, p->out_c, p->columns);
        const int8_t *image = (const int8_t *)operands[1] + (ptrdiff_t)b.image * p->in_h * p->in_w * p->in_pitch;
        for (int32_t y = b.row; y < b.row_end; y++)
            for (int32_t x = 0; x < p->out_w; x++) {
                const ptrdiff_t pixel = (((ptrdiff_t)b.image * p->out_h + y) * p->out_w + x) * p->out_pitch + p->out_first;
                int8_t *out = (int8_t *)operands[0] + pixel;
                const int8_t *a = window_of(p, image, y, x, task->scratch);
                layer.offset = p->weight_zero ? -p->weight_zero * edged_sum(a, layer.depth) : 0;
                if (!residual) {
                    some_channels(a, &layer, operands, b.channel, b.channel_end - b.channel, out + b.channel);
                    continue;
                }
                for (int32_t n = b.channel; n < b.channel_end; n += AT_ONCE) {
                    int8_t made[AT_ONCE];
                    const int32_t count = b.channel_end - n < AT_ONCE ? b.channel_end - n : AT_ONCE;
                    some_channels(a, &layer, operands, n, count, made);
                    add_residual(p, made, residual + pixel + n, count, out + n);
                }
            }
    }
}

void fc_s8_1x4_mve(const void *params, void *const *operands, const edged_task *task) {
    const edged_fc_s8_params *p = params;
    const int32_t first = (int32_t)task->begin * p->columns, last = (int32_t)task->end * p->columns, end = last < p->out_c ? last : p->out_c;
    channels layer = {.zero = p->output_zero, .low = p->act_min, .high = p->act_max, .depth = p->depth};
    for (int32_t m = 0; m < p->rows; m++) {
        const int8_t *a = (const int8_t *)operands[1] + (ptrdiff_t)m * p->depth;
        layer.offset = p->weight_zero ? -p->weight_zero * edged_sum(a, p->depth) : 0;
        some_channels(a, &layer, operands, first, end - first, (int8_t *)operands[0] + (ptrdiff_t)m * p->out_c + first);
    }
}
