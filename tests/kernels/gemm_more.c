/* The gemm family's rarer ops against scalar: Winograd, hybrid, int16, transposed, products of two tensors. */
#include "gemm_more.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int32_t padded_to(int32_t n, int32_t nr) { return (n + nr - 1) / nr * nr; }

/* ---- Winograd ---- */

typedef struct winograd_weights { int32_t channels, depth, positions; const float *plain, *bias; } winograd_weights;

static void pack_winograd(check_ctx *ctx, check_case *c, const edged_kernel_row *row) {
    (void)ctx;
    const winograd_weights *w = c->user;
    const gemm_shape s = {w->channels, 1, w->depth, 0};
    const int64_t each = gemm_packed_elements(&s, row);
    float *packed = check_alloc(c, 2, (size_t)(each * w->positions) * 4);
    for (int32_t i = 0; i < w->positions; i++)
        gemm_pack_f32(&s, row, w->plain + (int64_t)i * w->channels * w->depth, packed + i * each);
    memcpy(check_alloc(c, 3, (size_t)padded_to(w->channels, row->nr) * 4), w->bias, (size_t)w->channels * 4);
}

static int check_winograd(check_ctx *ctx) {
    check_case c = {.op = "winograd_f32", .pack = pack_winograd, .tolerance = 1e-4f, .scale = 10.0f};
    edged_winograd_f32_params p = {.in_c = check_range(ctx, 1, 40),
                                   .out_c = check_range(ctx, 1, 70),
                                   .pad_top = check_range(ctx, 0, 1),
                                   .pad_left = check_range(ctx, 0, 1),
                                   .tile = check_range(ctx, 0, 1) ? 2 : 4,
                                   .act_min = -3e38f,
                                   .act_max = 3e38f};
    p.out_h = check_range(ctx, 1, 11);
    p.out_w = check_range(ctx, 1, 11);
    p.in_h = p.out_h + 2 - p.pad_top > 1 ? p.out_h + 2 - p.pad_top - check_range(ctx, 0, 1) : 1;
    p.in_w = p.out_w + 2 - p.pad_left > 1 ? p.out_w + 2 - p.pad_left - check_range(ctx, 0, 1) : 1;
    const int32_t down = (p.out_h + p.tile - 1) / p.tile, across = (p.out_w + p.tile - 1) / p.tile,
                  positions = (p.tile + 2) * (p.tile + 2);
    p.band = check_range(ctx, 1, down);
    const size_t inputs = (size_t)(2 * p.in_h * p.in_w * p.in_c), outputs = (size_t)(2 * p.out_h * p.out_w * p.out_c);
    c.params = &p;
    c.units = (uint32_t)(2 * ((down + p.band - 1) / p.band));
    c.scratch =
        4 * (size_t)(padded_to(positions * p.band * across * p.in_c, 16) + positions * p.band * across * padded_to(p.out_c, 16));
    snprintf(c.text, sizeof c.text, "winograd %d: %dx%dx%d to %dx%dx%d band %d", p.tile, p.in_h, p.in_w, p.in_c, p.out_h, p.out_w,
             p.out_c, p.band);
    check_operand_add(&c, 0, CHECK_FLOAT, outputs * 4, 4);
    check_fill_floats(ctx, check_operand_add(&c, 1, CHECK_INPUT, inputs * 4, 4), inputs, -1, 1);
    if (check_range(ctx, 0, 1)) check_fill_floats(ctx, check_operand_add(&c, 4, CHECK_INPUT, outputs * 4, 4), outputs, -1, 1);
    float *plain = malloc((size_t)(positions * p.out_c * p.in_c) * 4), *bias = malloc((size_t)p.out_c * 4);
    check_fill_floats(ctx, plain, (size_t)(positions * p.out_c * p.in_c), -0.5f, 0.5f);
    check_fill_floats(ctx, bias, (size_t)p.out_c, -1, 1);
    const winograd_weights w = {p.out_c, p.in_c, positions, plain, bias};
    c.user = &w;
    const int bad = check_run(ctx, &c);
    free(plain);
    free(bias);
    return bad;
}

/* ---- float activations, int8 weights ---- */

static int check_quantise(check_ctx *ctx) {
    check_case c = {.op = "quantise_rows", .units = (uint32_t)check_range(ctx, 1, 4)};
    const edged_quantise_rows_params p = {.n = check_range(ctx, 1, 130), .asymmetric = check_range(ctx, 0, 1)};
    const size_t count = c.units * (size_t)p.n;
    c.params = &p;
    snprintf(c.text, sizeof c.text, "rows of %d", p.n);
    check_operand_add(&c, 0, CHECK_EXACT, count, 1);
    check_operand_add(&c, 1, CHECK_EXACT, c.units * 4, 4);
    check_operand_add(&c, 2, CHECK_EXACT, c.units * 4, 4);
    float *input = check_operand_add(&c, 3, CHECK_INPUT, count * 4, 4);
    check_fill_floats(ctx, input, count, check_range(ctx, 0, 1) ? -3.0f : 0.0f, 2.0f);
    if (check_range(ctx, 0, 5) == 0) memset(input, 0, count * 4);
    return check_run(ctx, &c);
}

typedef struct hybrid_weights {
    gemm_shape shape;
    const int8_t *plain;
    const float *scale, *bias;
    const edged_conv_s8_params *conv;
} hybrid_weights;

static void pack_hybrid(check_ctx *ctx, check_case *c, const edged_kernel_row *row) {
    (void)ctx;
    const hybrid_weights *w = c->user;
    const int32_t padded = gemm_padded_channels(&w->shape, row), depth = w->shape.segments * w->shape.length;
    gemm_pack_s8(&w->shape, row, w->plain, check_alloc(c, 2, (size_t)gemm_packed_elements(&w->shape, row)));
    int32_t *sums = check_alloc(c, 3, (size_t)padded * 4);
    for (int32_t n = 0; n < w->shape.channels; n++)
        for (int32_t k = 0; k < depth; k++) sums[n] += w->plain[n * depth + k];
    memcpy(check_alloc(c, 4, (size_t)padded * 4), w->scale, (size_t)w->shape.channels * 4);
    memcpy(check_alloc(c, 5, (size_t)padded * 4), w->bias, (size_t)w->shape.channels * 4);
    c->scratch = row->mr > 1 ? gemm_conv_s8_scratch(w->conv, row) : 0;
}

static int check_hybrid(check_ctx *ctx) {
    check_case c = {.op = "conv_hybrid", .pack = pack_hybrid, .tolerance = 1e-5f};
    edged_conv_s8_params p = {.in_h = check_range(ctx, 1, 6),
                              .in_w = check_range(ctx, 1, 6),
                              .in_c = check_range(ctx, 1, 40),
                              .out_c = check_range(ctx, 1, 70),
                              .kernel_h = check_range(ctx, 1, 3),
                              .kernel_w = check_range(ctx, 1, 3),
                              .stride_h = check_range(ctx, 1, 2),
                              .stride_w = 1,
                              .dilation_h = 1,
                              .dilation_w = 1};
    p.in_pitch = p.in_c;
    p.out_pitch = p.columns = p.out_c;
    p.pad_top = p.kernel_h / 2;
    p.pad_left = p.kernel_w / 2;
    p.out_h = (p.in_h + p.stride_h - 1) / p.stride_h;
    p.out_w = p.in_w;
    p.segments = check_range(ctx, 0, 1) ? 1 : p.kernel_h;
    p.band = check_range(ctx, 1, p.out_h);
    edged_conv_hybrid_params own;
    memcpy(&own, &p, offsetof(edged_conv_hybrid_params, act_min));
    own.act_min = -3e38f;
    own.act_max = 2.0f;
    const int32_t depth = p.kernel_h * p.kernel_w * p.in_c;
    const size_t inputs = (size_t)(2 * p.in_h * p.in_w * p.in_c);
    c.params = &own;
    c.units = (uint32_t)(2 * ((p.out_h + p.band - 1) / p.band));
    snprintf(c.text, sizeof c.text, "hybrid %dx%dx%d to %d, kernel %dx%d", p.in_h, p.in_w, p.in_c, p.out_c, p.kernel_h, p.kernel_w);
    check_operand_add(&c, 0, CHECK_FLOAT, (size_t)(2 * p.out_h * p.out_w * p.out_c) * 4, 4);
    check_fill_bytes(ctx, check_operand_add(&c, 1, CHECK_INPUT, inputs, 1), inputs);
    check_fill_floats(ctx, check_operand_add(&c, 6, CHECK_INPUT, 8, 4), 2, 0.001f, 0.01f);
    int32_t *zeros = check_operand_add(&c, 7, CHECK_INPUT, 8, 4);
    zeros[0] = check_range(ctx, -128, 127);
    int8_t *plain = malloc((size_t)(p.out_c * depth));
    float *scale = malloc((size_t)p.out_c * 8);
    check_fill_range(ctx, plain, (size_t)(p.out_c * depth), -127, 127);
    check_fill_floats(ctx, scale, (size_t)p.out_c * 2, 0.001f, 0.01f);
    const hybrid_weights w = {{p.out_c, p.segments, depth / p.segments, 0}, plain, scale, scale + p.out_c, &p};
    c.user = &w;
    const int bad = check_run(ctx, &c);
    free(plain);
    free(scale);
    return bad;
}

/* ---- what packs nothing ---- */

static void add_scaling(check_ctx *ctx, check_case *c, int32_t channels) {
    int32_t *multiplier = check_operand_add(c, 4, CHECK_INPUT, (size_t)channels * 4, 4),
            *shift = check_operand_add(c, 5, CHECK_INPUT, (size_t)channels * 4, 4);
    for (int32_t n = 0; n < channels; n++) {
        multiplier[n] = check_range(ctx, 1 << 30, INT32_MAX);
        shift[n] = check_range(ctx, -20, -6);
    }
}

static void add_bytes(check_ctx *ctx, check_case *c, int index, size_t bytes, size_t element) {
    check_fill_bytes(ctx, check_operand_add(c, index, CHECK_INPUT, bytes, element), bytes);
}

static int check_s16(check_ctx *ctx) {
    check_case c = {.op = "conv_s16"};
    edged_conv_s16_params p = {.in_h = check_range(ctx, 1, 5),
                               .in_w = check_range(ctx, 1, 5),
                               .in_c = check_range(ctx, 1, 300),
                               .out_c = check_range(ctx, 1, 20),
                               .kernel_h = check_range(ctx, 1, 3),
                               .kernel_w = check_range(ctx, 1, 3),
                               .stride_h = 1,
                               .stride_w = check_range(ctx, 1, 2),
                               .dilation_h = 1,
                               .dilation_w = check_range(ctx, 1, 2),
                               .segments = 1,
                               .wide = check_range(ctx, 0, 1),
                               .act_min = -32768,
                               .act_max = 32767};
    p.in_pitch = p.in_c;
    p.out_pitch = p.columns = p.out_c;
    p.pad_top = p.kernel_h / 2;
    p.pad_left = p.kernel_w / 2;
    p.out_h = p.in_h;
    p.out_w = (p.in_w + p.stride_w - 1) / p.stride_w;
    p.band = check_range(ctx, 1, p.out_h);
    const size_t depth = (size_t)(p.kernel_h * p.kernel_w * p.in_c);
    c.params = &p;
    c.units = (uint32_t)((p.out_h + p.band - 1) / p.band);
    c.scratch = 2 * depth;
    snprintf(c.text, sizeof c.text, "int16 %dx%dx%d to %d", p.in_h, p.in_w, p.in_c, p.out_c);
    check_operand_add(&c, 0, CHECK_EXACT, (size_t)(p.out_h * p.out_w * p.out_c) * 2, 2);
    add_bytes(ctx, &c, 1, (size_t)(p.in_h * p.in_w * p.in_c) * 2, 2);
    add_bytes(ctx, &c, 2, depth * (size_t)p.out_c, 1);
    int32_t *bias = check_operand_add(&c, 3, CHECK_INPUT, (size_t)p.out_c * (p.wide ? 8 : 4), p.wide ? 8 : 4);
    for (int32_t n = 0; n < p.out_c; n++) bias[p.wide ? 2 * n : n] = check_range(ctx, 0, 100000);
    add_scaling(ctx, &c, p.out_c);
    return check_run(ctx, &c);
}

static int check_transposed(check_ctx *ctx, const char *op, size_t element, size_t weight) {
    const int32_t in_h = check_range(ctx, 1, 5), in_w = check_range(ctx, 1, 5), in_c = check_range(ctx, 1, 300),
                  out_c = check_range(ctx, 1, 9);
    const int32_t kernel_h = check_range(ctx, 1, 4), kernel_w = check_range(ctx, 1, 4), stride_h = check_range(ctx, 1, 3),
                  stride_w = check_range(ctx, 1, 3);
    const int32_t pad_top = check_range(ctx, 0, 1), pad_left = check_range(ctx, 0, 1), out_h = in_h * stride_h,
                  out_w = in_w * stride_w;
    const edged_transpose_conv_f32_params f = {in_h,     in_w,     in_c,     out_h,   out_w,    out_c,  kernel_h,
                                               kernel_w, stride_h, stride_w, pad_top, pad_left, -3e38f, 1.0f};
    const edged_transpose_conv_s8_params s = {in_h,     in_w,    in_c,     out_h, out_w, out_c, kernel_h, kernel_w, stride_h,
                                              stride_w, pad_top, pad_left, 3,     -5,    7,     -128,     127};
    const edged_transpose_conv_s16_params t = {in_h,     in_w,     in_c,    out_h,    out_w, out_c,  kernel_h, kernel_w,
                                               stride_h, stride_w, pad_top, pad_left, 1,     -32768, 32767};
    check_case c = {.op = op,
                    .params = element == 4   ? (const void *)&f
                              : element == 1 ? (const void *)&s
                                             : &t,
                    .units = (uint32_t)out_h,
                    .tolerance = 1e-5f,
                    .scale = 10.0f};
    const size_t inputs = (size_t)(in_h * in_w * in_c), weights = (size_t)(out_c * kernel_h * kernel_w * in_c);
    snprintf(c.text, sizeof c.text, "%s %dx%dx%d to %dx%dx%d, kernel %dx%d/%d,%d", op, in_h, in_w, in_c, out_h, out_w, out_c,
             kernel_h, kernel_w, stride_h, stride_w);
    check_operand_add(&c, 0, element == 4 ? CHECK_FLOAT : CHECK_EXACT, (size_t)(out_h * out_w * out_c) * element, element);
    if (element == 4) {
        check_fill_floats(ctx, check_operand_add(&c, 1, CHECK_INPUT, inputs * 4, 4), inputs, -1, 1);
        check_fill_floats(ctx, check_operand_add(&c, 2, CHECK_INPUT, weights * 4, 4), weights, -1, 1);
    } else {
        add_bytes(ctx, &c, 1, inputs * element, element);
        add_bytes(ctx, &c, 2, weights * weight, weight);
        add_scaling(ctx, &c, out_c);
    }
    return check_run(ctx, &c);
}

static int check_matmul(check_ctx *ctx, const char *op, size_t element) {
    check_case c = {.op = op, .tolerance = 1e-5f, .scale = 10.0f};
    edged_matmul_params p = {.rows = check_range(ctx, 1, 9),
                             .depth = check_range(ctx, 1, 40),
                             .columns = check_range(ctx, 1, 150),
                             .n0 = 1,
                             .n1 = check_range(ctx, 1, 2),
                             .n2 = check_range(ctx, 1, 3),
                             .multiplier = 1500000000,
                             .shift = -10,
                             .act_min = element == 1 ? -128 : -32768,
                             .act_max = element == 1 ? 127 : 32767};
    if (element == 1) p.a_zero = 5, p.b_zero = -7, p.output_zero = 3;
    const int flip_a = check_range(ctx, 0, 1), flip_b = check_range(ctx, 0, 1);
    p.a_row = flip_a ? 1 : p.depth;
    p.a_depth = flip_a ? p.rows : 1;
    p.b_depth = flip_b ? 1 : p.columns;
    p.b_column = flip_b ? p.depth : 1;
    p.a2 = p.rows * p.depth;
    p.a1 = p.a2 * p.n2;
    p.b1 = p.depth * p.columns;
    const size_t outputs = (size_t)(p.n1 * p.n2 * p.rows * p.columns), left = (size_t)(p.n1 * p.a1), right = (size_t)(p.n1 * p.b1);
    c.params = &p;
    c.units = (uint32_t)(p.n1 * p.n2 * ((p.rows + 3) / 4));
    snprintf(c.text, sizeof c.text, "%s %dx%d x %d", op, p.rows, p.depth, p.columns);
    check_operand_add(&c, 0, element == 4 ? CHECK_FLOAT : CHECK_EXACT, outputs * element, element);
    if (element == 4) {
        check_fill_floats(ctx, check_operand_add(&c, 1, CHECK_INPUT, left * 4, 4), left, -1, 1);
        check_fill_floats(ctx, check_operand_add(&c, 2, CHECK_INPUT, right * 4, 4), right, -1, 1);
    } else {
        add_bytes(ctx, &c, 1, left * element, element);
        add_bytes(ctx, &c, 2, right * element, element);
    }
    return check_run(ctx, &c);
}

static void add_floats(check_ctx *ctx, check_case *c, int index, size_t n) {
    check_fill_floats(ctx, check_operand_add(c, index, CHECK_INPUT, n * 4, 4), n, -1, 1);
}

static int check_blockwise(check_ctx *ctx) {
    const int32_t size = check_range(ctx, 1, 40);
    const edged_fc_blockwise_params p = {check_range(ctx, 1, 4), size * check_range(ctx, 1, 4), check_range(ctx, 1, 9), size, -90.0f, 90.0f};
    const size_t rows = (size_t)p.rows, depth = (size_t)p.depth, out = (size_t)p.out_c;
    check_case c = {.op = "fc_blockwise", .params = &p, .units = (uint32_t)p.out_c, .tolerance = 1e-5f, .scale = 100.0f};
    check_operand_add(&c, 0, CHECK_FLOAT, rows * out * 4, 4);
    add_bytes(ctx, &c, 1, rows * depth, 1);
    add_floats(ctx, &c, 2, rows);
    int32_t *zeros = check_operand_add(&c, 3, CHECK_INPUT, rows * 4, 4);
    for (size_t i = 0; i < rows; i++) zeros[i] = check_range(ctx, -128, 127);
    add_bytes(ctx, &c, 4, out * depth, 1);
    add_floats(ctx, &c, 5, out * (depth / (size_t)size));
    if (check_range(ctx, 0, 1)) add_floats(ctx, &c, 6, out);
    return check_run(ctx, &c);
}

static int check_centre(check_ctx *ctx) {
    const edged_centre_rows_params p = {check_range(ctx, 1, 90)};
    check_case c = {.op = "centre_rows", .params = &p, .units = 3, .tolerance = 1e-6f};
    check_operand_add(&c, 0, CHECK_FLOAT, 12 * (size_t)p.n, 4);
    add_bytes(ctx, &c, 1, 3 * (size_t)p.n, 1);
    int32_t *zeros = check_operand_add(&c, 2, CHECK_INPUT, 12, 4);
    for (int i = 0; i < 3; i++) zeros[i] = check_range(ctx, -128, 127);
    return check_run(ctx, &c);
}

static int check_scaled(check_ctx *ctx) {
    const edged_scale_rows_params p = {check_range(ctx, 1, 40), 3, -4.0f, 4.0f};
    check_case c = {.op = "scale_rows", .params = &p, .units = 6, .tolerance = 1e-6f};
    const size_t channels = (size_t)p.channels;
    check_operand_add(&c, 0, CHECK_FLOAT, 24 * channels, 4);
    add_floats(ctx, &c, 1, 6 * channels);
    add_floats(ctx, &c, 2, 2);
    add_floats(ctx, &c, 3, channels);
    if (check_range(ctx, 0, 1)) add_floats(ctx, &c, 4, channels);
    return check_run(ctx, &c);
}

static int check_volume(check_ctx *ctx) {
    edged_conv_3d_f32_params p = {.in_d = check_range(ctx, 1, 4), .in_h = check_range(ctx, 1, 4), .in_w = check_range(ctx, 1, 4), .in_c = check_range(ctx, 1, 9)};
    p.out_d = check_range(ctx, 1, 4), p.out_h = check_range(ctx, 1, 4), p.out_w = check_range(ctx, 1, 4), p.out_c = check_range(ctx, 1, 40);
    p.kernel_d = check_range(ctx, 1, 3), p.kernel_h = check_range(ctx, 1, 3), p.kernel_w = check_range(ctx, 1, 3);
    p.stride_d = check_range(ctx, 1, 2), p.stride_h = check_range(ctx, 1, 2), p.stride_w = check_range(ctx, 1, 2);
    p.dilation_d = p.dilation_h = p.dilation_w = check_range(ctx, 1, 2), p.before_d = p.before_h = p.before_w = check_range(ctx, 0, 1);
    p.transposed = check_range(ctx, 0, 1), p.act_min = -9.0f, p.act_max = 9.0f;
    const size_t out = 2 * (size_t)(p.out_d * p.out_h * p.out_w * p.out_c), in = 2 * (size_t)(p.in_d * p.in_h * p.in_w * p.in_c);
    const size_t weights = (size_t)(p.kernel_d * p.kernel_h * p.kernel_w * p.in_c * p.out_c);
    check_case c = {.op = "conv_3d_f32", .params = &p, .units = 2 * (uint32_t)(p.out_d * p.out_h), .tolerance = 1e-5f, .scale = 10.0f};
    check_operand_add(&c, 0, CHECK_FLOAT, out * 4, 4);
    add_floats(ctx, &c, 1, in);
    add_floats(ctx, &c, 2, weights);
    if (check_range(ctx, 0, 1)) add_floats(ctx, &c, 3, (size_t)p.out_c);
    return check_run(ctx, &c);
}

int check_gemm_more(check_ctx *ctx) {
    int bad = check_winograd(ctx) | check_quantise(ctx) | check_hybrid(ctx) | check_s16(ctx);
    bad |= check_transposed(ctx, "transpose_conv_f32", 4, 4) | check_transposed(ctx, "transpose_conv_s8", 1, 1) |
           check_transposed(ctx, "transpose_conv_s16", 2, 1);
    bad |= check_blockwise(ctx) | check_centre(ctx) | check_scaled(ctx) | check_volume(ctx);
    return bad | check_matmul(ctx, "matmul_f32", 4) | check_matmul(ctx, "matmul_s8", 1) | check_matmul(ctx, "matmul_s16", 2);
}
