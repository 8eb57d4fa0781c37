/* Convolution and fully connected rows against scalar. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "gemm_more.h"
#include "gemm_pack.h"

typedef struct s8_weights {
    gemm_shape shape;
    const int8_t *plain;
    const int32_t *bias, *multiplier, *shift;
    int32_t input_zero;
    size_t window;           /* scratch bytes of a row that gathers one window */
    const edged_conv_s8_params *conv;
    const edged_fc_s8_params *fc;
} s8_weights;

typedef struct f32_weights {
    gemm_shape shape;
    const float *plain, *bias;
    size_t band;
} f32_weights;

static void *padded_copy(check_case *c, int index, const int32_t *from, int32_t count, int32_t padded) {
    int32_t *to = check_alloc(c, index, (size_t)padded * sizeof *to);
    memcpy(to, from, (size_t)count * sizeof *to);
    return to;
}

static void pack_s8(check_ctx *ctx, check_case *c, const edged_kernel_row *row) {
    (void)ctx;
    const s8_weights *w = c->user;
    gemm_shape shape = w->shape;
    if (row->mr == 1) shape.length *= shape.segments, shape.segments = 1; /* takes whole windows */
    const int32_t padded = gemm_padded_channels(&shape, row);
    gemm_pack_s8(&shape, row, w->plain, check_alloc(c, 2, (size_t)gemm_packed_elements(&shape, row)));
    gemm_fold_bias(&shape, row, w->plain, w->input_zero, w->bias, check_alloc(c, 3, (size_t)padded * 4));
    padded_copy(c, 4, w->multiplier, w->shape.channels, padded);
    padded_copy(c, 5, w->shift, w->shape.channels, padded);
    /* armv7e-m: two windows as int16, and one as it is */
    const size_t window = row->arch & ARCH_DSP ? (w->window + 3) / 4 * 20 : w->window;
    c->scratch = row->mr == 1 ? window : w->conv ? gemm_conv_s8_scratch(w->conv, row) : gemm_fc_s8_scratch(w->fc, row);
}

static void pack_f32(check_ctx *ctx, check_case *c, const edged_kernel_row *row) {
    (void)ctx;
    const f32_weights *w = c->user;
    gemm_pack_f32(&w->shape, row, w->plain, check_alloc(c, 2, (size_t)gemm_packed_elements(&w->shape, row) * 4));
    float *bias = check_alloc(c, 3, (size_t)gemm_padded_channels(&w->shape, row) * 4);
    memcpy(bias, w->bias, (size_t)w->shape.channels * 4);
    c->scratch = row->mr > 1 ? w->band : 0;
}

/* Random quantisation of `channels` outputs; every tenth case has extreme multipliers, left shifts and biases. */
static void fill_weights(check_ctx *ctx, s8_weights *w, int8_t *plain, int32_t *bias, int32_t *multiplier, int32_t *shift) {
    const int32_t depth = w->shape.segments * w->shape.length;
    const int extreme = check_range(ctx, 0, 9) == 0;
    const int asymmetric = check_range(ctx, 0, 3) == 0;
    w->shape.weight_zero = asymmetric ? check_range(ctx, -128, 127) : 0;
    check_fill_range(ctx, plain, (size_t)(w->shape.channels * depth), asymmetric ? -128 : -127, 127);
    for (int32_t n = 0; n < w->shape.channels; n++) {
        bias[n] = extreme ? (int32_t)check_random(ctx) : check_range(ctx, -20000, 20000);
        multiplier[n] =
            extreme && check_range(ctx, 0, 3) == 0 ? (check_random(ctx) & 1 ? 0 : 1 << 30) : check_range(ctx, 1 << 30, INT32_MAX);
        shift[n] = extreme ? check_range(ctx, -31, 12) : check_range(ctx, -14, -4);
    }
    w->plain = plain;
    w->bias = bias;
    w->multiplier = multiplier;
    w->shift = shift;
}

static int32_t dims(check_ctx *ctx, int32_t most) { return check_range(ctx, 0, 5) == 0 ? most : check_range(ctx, 1, most); }

/* A random window and image; fills every geometric field that conv_s8 and conv_f32 share. */
#define FILL_GEOMETRY(p)                                                                                              \
    do {                                                                                                              \
        const int pointwise = check_range(ctx, 0, 2) == 0;                                                            \
        (p).kernel_h = pointwise ? 1 : check_range(ctx, 1, 4);                                                        \
        (p).kernel_w = pointwise ? 1 : check_range(ctx, 1, 4);                                                        \
        (p).stride_h = check_range(ctx, 1, 2);                                                                        \
        (p).stride_w = check_range(ctx, 1, 2);                                                                        \
        (p).dilation_h = check_range(ctx, 1, 5) == 1 ? 2 : 1;                                                         \
        (p).dilation_w = check_range(ctx, 1, 5) == 1 ? 2 : 1;                                                         \
        (p).in_c = dims(ctx, check_range(ctx, 0, 3) ? 40 : 150);                                                      \
        (p).out_c = dims(ctx, check_range(ctx, 0, 3) ? 50 : 140);                                                     \
        (p).out_h = dims(ctx, 7);                                                                                     \
        (p).out_w = pointwise && check_range(ctx, 0, 1) ? 1 : dims(ctx, 20);                                          \
        const int grouped = check_range(ctx, 0, 4) == 0;                                                              \
        (p).in_first = grouped ? check_range(ctx, 0, 5) : 0;                                                          \
        (p).in_pitch = (p).in_c + (p).in_first + (grouped ? check_range(ctx, 0, 5) : 0);                              \
        (p).out_first = grouped ? check_range(ctx, 0, 5) : 0;                                                         \
        (p).out_pitch = (p).out_c + (p).out_first + (grouped ? check_range(ctx, 0, 5) : 0);                           \
        const int32_t span_h = ((p).kernel_h - 1) * (p).dilation_h + 1, span_w = ((p).kernel_w - 1) * (p).dilation_w + 1; \
        const int padded = check_range(ctx, 0, 2) != 0;                                                               \
        (p).pad_top = padded ? check_range(ctx, 0, span_h - 1) : 0;                                                   \
        (p).pad_left = padded ? check_range(ctx, 0, span_w - 1) : 0;                                                  \
        (p).in_h = ((p).out_h - 1) * (p).stride_h + span_h - (p).pad_top - (padded ? check_range(ctx, 0, span_h - 1) : 0); \
        (p).in_w = ((p).out_w - 1) * (p).stride_w + span_w - (p).pad_left - (padded ? check_range(ctx, 0, span_w - 1) : 0); \
        (p).in_h = (p).in_h < 1 ? 1 : (p).in_h;                                                                       \
        (p).in_w = (p).in_w < 1 ? 1 : (p).in_w;                                                                       \
        const int rows = (p).dilation_w == 1 && (p).in_pitch == (p).in_c;                                             \
        const int choice = check_range(ctx, 0, 2);                                                                    \
        (p).segments = choice == 0 ? 1 : choice == 1 && rows ? (p).kernel_h : (p).kernel_h * (p).kernel_w;            \
        (p).band = dims(ctx, (p).out_h);                                                                              \
        (p).columns = check_range(ctx, 0, 2) == 0 ? 96 : (p).out_c;                                                   \
        batch = check_range(ctx, 1, 2);                                                                               \
        units = (uint32_t)(batch * (((p).out_h + (p).band - 1) / (p).band) * (((p).out_c + (p).columns - 1) / (p).columns)); \
        depth = (p).kernel_h * (p).kernel_w * (p).in_c;                                                               \
        inputs = (size_t)batch * (size_t)((p).in_h * (p).in_w * (p).in_pitch);                                        \
        outputs = (size_t)batch * (size_t)((p).out_h * (p).out_w * (p).out_pitch);                                    \
        snprintf(c.text, sizeof c.text, "%dx%dx%d(%d) -> %dx%dx%d, kernel %dx%d/%d,%d dilation %d,%d pad %d,%d segments %d band %d columns %d", \
                 (p).in_h, (p).in_w, (p).in_c, (p).in_pitch, (p).out_h, (p).out_w, (p).out_c, (p).kernel_h, (p).kernel_w, \
                 (p).stride_h, (p).stride_w, (p).dilation_h, (p).dilation_w, (p).pad_top, (p).pad_left, (p).segments, (p).band, (p).columns); \
    } while (0)

static int check_conv_s8(check_ctx *ctx) {
    check_case c = {.op = "conv_s8", .pack = pack_s8};
    edged_conv_s8_params p = {0};
    int32_t batch, depth;
    uint32_t units;
    size_t inputs, outputs;
    FILL_GEOMETRY(p);
    p.input_zero = check_range(ctx, -128, 127);
    p.output_zero = check_range(ctx, -128, 127);
    p.act_min = check_range(ctx, 0, 1) ? -128 : check_range(ctx, -128, 0);
    p.act_max = check_range(ctx, 0, 1) ? 127 : check_range(ctx, 1, 127);
    p.may_wrap = 1;
    p.zero2 = check_range(ctx, -128, 127);
    p.zero3 = check_range(ctx, -128, 127);
    p.mult1 = check_range(ctx, 1 << 30, INT32_MAX);
    p.mult2 = check_range(ctx, 1 << 30, INT32_MAX);
    p.mult3 = check_range(ctx, 1 << 30, INT32_MAX);
    p.shift1 = check_range(ctx, -3, 0);
    p.shift2 = check_range(ctx, -3, 0);
    p.shift3 = check_range(ctx, -19, -15);
    p.add_min = -128 + check_range(ctx, 0, 1) * 100;
    p.add_max = 127 - check_range(ctx, 0, 1) * 20;
    c.params = &p;
    c.units = units;
    check_operand_add(&c, 0, CHECK_EXACT, outputs, 1);
    check_fill_bytes(ctx, check_operand_add(&c, 1, CHECK_INPUT, inputs, 1), inputs);
    if (check_range(ctx, 0, 3) == 0) check_fill_bytes(ctx, check_operand_add(&c, 6, CHECK_INPUT, outputs, 1), outputs);
    s8_weights w = {.shape = {p.out_c, p.segments, depth / p.segments, 0}, .input_zero = p.input_zero};
    int8_t *plain = malloc((size_t)(depth * p.out_c));
    int32_t *arrays = malloc((size_t)p.out_c * 3 * sizeof *arrays);
    fill_weights(ctx, &w, plain, arrays, arrays + p.out_c, arrays + 2 * p.out_c);
    p.weight_zero = w.shape.weight_zero;
    w.window = (size_t)depth;
    w.conv = &p;
    c.user = &w;
    const int bad = check_run(ctx, &c);
    free(plain);
    free(arrays);
    return bad;
}

static int check_conv_f32(check_ctx *ctx) {
    check_case c = {.op = "conv_f32", .pack = pack_f32, .tolerance = 2e-5f};
    edged_conv_f32_params p = {0};
    int32_t batch, depth;
    uint32_t units;
    size_t inputs, outputs;
    FILL_GEOMETRY(p);
    p.act_min = check_range(ctx, 0, 1) ? -3.4e38f : 0.0f;
    p.act_max = check_range(ctx, 0, 1) ? 3.4e38f : 1.5f;
    c.params = &p;
    c.units = units;
    check_operand_add(&c, 0, CHECK_FLOAT, outputs * 4, 4);
    check_fill_floats(ctx, check_operand_add(&c, 1, CHECK_INPUT, inputs * 4, 4), inputs, -1, 1);
    if (check_range(ctx, 0, 3) == 0) check_fill_floats(ctx, check_operand_add(&c, 4, CHECK_INPUT, outputs * 4, 4), outputs, -1, 1);
    f32_weights w = {.shape = {p.out_c, p.segments, depth / p.segments, 0}, .band = gemm_conv_f32_scratch(&p)};
    float *plain = malloc((size_t)(depth * p.out_c) * 4), *bias = malloc((size_t)p.out_c * 4);
    check_fill_floats(ctx, plain, (size_t)(depth * p.out_c), -0.5f, 0.5f);
    check_fill_floats(ctx, bias, (size_t)p.out_c, -1, 1);
    w.plain = plain;
    w.bias = bias;
    c.user = &w;
    const int bad = check_run(ctx, &c);
    free(plain);
    free(bias);
    return bad;
}

static int check_fc_s8(check_ctx *ctx) {
    check_case c = {.op = "fc_s8", .pack = pack_s8};
    edged_fc_s8_params p = {
        .rows = check_range(ctx, 1, 5), .depth = dims(ctx, check_range(ctx, 0, 1) ? 70 : 700), .out_c = dims(ctx, 200)};
    p.rows = check_range(ctx, 0, 1) ? 1 : p.rows;
    p.columns = check_range(ctx, 0, 1) ? 64 : p.out_c;
    p.input_zero = check_range(ctx, -128, 127);
    p.output_zero = check_range(ctx, -128, 127);
    p.act_min = check_range(ctx, -128, 0);
    p.act_max = check_range(ctx, 1, 127);
    c.params = &p;
    c.units = (uint32_t)((p.out_c + p.columns - 1) / p.columns);
    snprintf(c.text, sizeof c.text, "rows %d depth %d channels %d columns %d", p.rows, p.depth, p.out_c, p.columns);
    check_operand_add(&c, 0, CHECK_EXACT, (size_t)(p.rows * p.out_c), 1);
    check_fill_bytes(ctx, check_operand_add(&c, 1, CHECK_INPUT, (size_t)(p.rows * p.depth), 1), (size_t)(p.rows * p.depth));
    s8_weights w = {.shape = {p.out_c, 1, p.depth, 0}, .input_zero = p.input_zero};
    int8_t *plain = malloc((size_t)(p.depth * p.out_c));
    int32_t *arrays = malloc((size_t)p.out_c * 3 * sizeof *arrays);
    fill_weights(ctx, &w, plain, arrays, arrays + p.out_c, arrays + 2 * p.out_c);
    p.weight_zero = w.shape.weight_zero;
    w.fc = &p;
    c.user = &w;
    const int bad = check_run(ctx, &c);
    free(plain);
    free(arrays);
    return bad;
}

static int check_fc_f32(check_ctx *ctx) {
    check_case c = {.op = "fc_f32", .pack = pack_f32, .tolerance = 2e-5f};
    edged_fc_f32_params p = {
        .rows = check_range(ctx, 1, 5), .depth = dims(ctx, check_range(ctx, 0, 1) ? 70 : 700), .out_c = dims(ctx, 200)};
    p.columns = check_range(ctx, 0, 1) ? 64 : p.out_c;
    p.act_min = check_range(ctx, 0, 1) ? -3.4e38f : 0.0f;
    p.act_max = check_range(ctx, 0, 1) ? 3.4e38f : 1.5f;
    c.params = &p;
    c.units = (uint32_t)((p.out_c + p.columns - 1) / p.columns);
    snprintf(c.text, sizeof c.text, "rows %d depth %d channels %d columns %d", p.rows, p.depth, p.out_c, p.columns);
    check_operand_add(&c, 0, CHECK_FLOAT, (size_t)(p.rows * p.out_c) * 4, 4);
    check_fill_floats(ctx, check_operand_add(&c, 1, CHECK_INPUT, (size_t)(p.rows * p.depth) * 4, 4), (size_t)(p.rows * p.depth),
                      -1, 1);
    f32_weights w = {.shape = {p.out_c, 1, p.depth, 0}};
    float *plain = malloc((size_t)(p.depth * p.out_c) * 4), *bias = malloc((size_t)p.out_c * 4);
    check_fill_floats(ctx, plain, (size_t)(p.depth * p.out_c), -0.5f, 0.5f);
    check_fill_floats(ctx, bias, (size_t)p.out_c, -1, 1);
    w.plain = plain;
    w.bias = bias;
    c.user = &w;
    const int bad = check_run(ctx, &c);
    free(plain);
    free(bias);
    return bad;
}

int check_gemm(check_ctx *ctx) {
    int bad = 0;
    for (int i = 0; i < 100 * ctx->repeats; i++) {
        bad |= check_conv_s8(ctx);
        bad |= check_conv_f32(ctx);
        bad |= check_fc_s8(ctx);
        bad |= check_fc_f32(ctx);
        bad |= check_gemm_more(ctx);
    }
    return bad;
}
