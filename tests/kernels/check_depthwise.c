/* Depthwise rows against scalar. */
#include <stdio.h>

#include "check.h"
#include "depthwise_pack.h"

static void pack_s8(check_ctx *ctx, check_case *c, const edged_kernel_row *row) {
    (void)ctx;
    const depthwise_s8 *d = c->user;
    const int32_t channels = d->p.channels * d->p.multiplier;
    if (row->kr == 4) {
        const size_t lanes = (size_t)depthwise_lanes(&d->p) * 4;
        depthwise_pack(d, check_alloc(c, 2, depthwise_packed_bytes(&d->p)));
        int32_t *bias = check_alloc(c, 3, lanes), *multiplier = check_alloc(c, 4, lanes);
        depthwise_pack_scales(d, bias, multiplier, check_alloc(c, 5, lanes));
        c->scratch = depthwise_scratch(&d->p);
        return;
    }
    if (row->kr == 2 && d->p.multiplier == 1) {
        const size_t lanes = (size_t)depthwise_pair_vectors(&d->p) * 64;
        int16_t *taps = check_alloc(c, 2, depthwise_pair_bytes(&d->p));
        int32_t *bias = check_alloc(c, 3, lanes), *multiplier = check_alloc(c, 4, lanes);
        depthwise_pack_pairs(d, taps, bias, multiplier, check_alloc(c, 5, lanes));
        c->scratch = (size_t)(d->p.in_w * d->p.channels) + 64;
        return;
    }
    const size_t taps = (size_t)(d->p.kernel_h * d->p.kernel_w * channels), bytes = (size_t)channels * 4;
    memcpy(check_alloc(c, 2, taps), d->weights, taps);
    memcpy(check_alloc(c, 3, bytes), d->bias, bytes);
    memcpy(check_alloc(c, 4, bytes), d->multiplier, bytes);
    memcpy(check_alloc(c, 5, bytes), d->shift, bytes);
    c->scratch = 0;
}

/* A random window and image; every struct of the family has these fields. */
#define FILL_GEOMETRY(p)                                                                                                        \
    do {                                                                                                                         \
        static const int32_t sides[] = {3, 3, 3, 5, 1, 2, 4, 7};                                                                 \
        (p).kernel_h = sides[check_range(ctx, 0, 7)];                                                                            \
        (p).kernel_w = check_range(ctx, 0, 1) ? (p).kernel_h : sides[check_range(ctx, 0, 7)];                                    \
        (p).stride_h = check_range(ctx, 1, 4) == 4 ? 3 : check_range(ctx, 1, 2);                                                 \
        (p).stride_w = check_range(ctx, 0, 1) ? (p).stride_h : check_range(ctx, 1, 3);                                           \
        (p).dilation_h = check_range(ctx, 1, 5) == 1 ? 2 : 1;                                                                    \
        (p).dilation_w = check_range(ctx, 1, 5) == 1 ? 2 : 1;                                                                    \
        (p).channels = check_range(ctx, 0, 2) ? check_range(ctx, 1, 40) : 16 * check_range(ctx, 1, 9);                           \
        (p).multiplier = check_range(ctx, 0, 4) ? 1 : check_range(ctx, 1, 4);                                                    \
        (p).in_h = check_range(ctx, (p).kernel_h * (p).dilation_h, 16);                                                          \
        (p).in_w = check_range(ctx, (p).kernel_w * (p).dilation_w, 24);                                                          \
        (p).pad_top = check_range(ctx, 0, ((p).kernel_h - 1) * (p).dilation_h);                                                  \
        (p).pad_left = check_range(ctx, 0, ((p).kernel_w - 1) * (p).dilation_w);                                                 \
        (p).out_h = ((p).in_h + (p).pad_top - 1) / (p).stride_h + 1;                                                             \
        (p).out_w = ((p).in_w + (p).pad_left - 1) / (p).stride_w + 1;                                                            \
        batch = check_range(ctx, 1, 2);                                                                                          \
        c.units = (uint32_t)(batch * (p).out_h);                                                                                 \
        out_c = (size_t)((p).channels * (p).multiplier);                                                                         \
        inputs = (size_t)(batch * (p).in_h * (p).in_w * (p).channels);                                                           \
        outputs = (size_t)(batch * (p).out_h * (p).out_w) * out_c;                                                               \
        weights = (size_t)((p).kernel_h * (p).kernel_w) * out_c;                                                                 \
        snprintf(c.text, sizeof c.text, "%d x %dx%dx%d * %d, kernel %dx%d/%d,%d dilation %d,%d pad %d,%d", batch, (p).in_h,      \
                 (p).in_w, (p).channels, (p).multiplier, (p).kernel_h, (p).kernel_w, (p).stride_h, (p).stride_w,                 \
                 (p).dilation_h, (p).dilation_w, (p).pad_top, (p).pad_left);                                                     \
    } while (0)

static int check_dw_s8(check_ctx *ctx) {
    check_case c = {.op = "dw_s8", .pack = pack_s8};
    depthwise_s8 d = {.weights = NULL};
    int32_t batch;
    size_t out_c, inputs, outputs, weights;
    FILL_GEOMETRY(d.p);
    const int asymmetric = check_range(ctx, 0, 3) == 0;
    d.p.input_zero = check_range(ctx, -128, 127);
    d.p.weight_zero = asymmetric ? check_range(ctx, -128, 127) : 0;
    d.p.output_zero = check_range(ctx, -128, 127);
    d.p.act_min = check_range(ctx, 0, 1) ? -128 : check_range(ctx, -128, 0);
    d.p.act_max = check_range(ctx, 0, 1) ? 127 : check_range(ctx, 1, 127);
    depthwise_choose(&d.p, check_range(ctx, 0, 1) ? 24576 : 4096);
    int8_t *plain = malloc(weights);
    int32_t *scales = malloc(out_c * 12);
    check_fill_bytes(ctx, plain, weights);
    for (size_t i = 0; i < out_c; i++) {
        scales[i] = check_range(ctx, -20000, 20000);
        scales[out_c + i] = check_range(ctx, 0, 20) ? check_range(ctx, 1 << 30, INT32_MAX) : 0;
        scales[2 * out_c + i] = check_range(ctx, 0, 9) ? check_range(ctx, -12, 0) : check_range(ctx, -20, 3);
    }
    d.weights = plain, d.bias = scales, d.multiplier = scales + out_c, d.shift = scales + 2 * out_c;
    c.params = &d.p;
    c.user = &d;
    check_operand_add(&c, 0, CHECK_EXACT, outputs, 1);
    check_fill_bytes(ctx, check_operand_add(&c, 1, CHECK_INPUT, inputs, 1), inputs);
    const int bad = check_run(ctx, &c);
    free(plain);
    free(scales);
    return bad;
}

static int check_dw_f32(check_ctx *ctx) {
    check_case c = {.op = "dw_f32", .tolerance = 1e-5f, .scale = 4.0f};
    edged_depthwise_f32_params p = {0};
    int32_t batch;
    size_t out_c, inputs, outputs, weights;
    FILL_GEOMETRY(p);
    p.block = depthwise_block_f32(&p);
    p.block = p.block > 16 && check_range(ctx, 0, 1) ? 16 : p.block;
    p.act_min = check_range(ctx, 0, 1) ? -3.4e38f : 0.0f;
    p.act_max = check_range(ctx, 0, 1) ? 3.4e38f : 1.5f;
    c.params = &p;
    c.scratch = depthwise_scratch_f32(&p);
    check_operand_add(&c, 0, CHECK_FLOAT, outputs * 4, 4);
    check_fill_floats(ctx, check_operand_add(&c, 1, CHECK_INPUT, inputs * 4, 4), inputs, -1, 1);
    check_fill_floats(ctx, check_operand_add(&c, 2, CHECK_INPUT, weights * 4, 4), weights, -1, 1);
    check_fill_floats(ctx, check_operand_add(&c, 3, CHECK_INPUT, out_c * 4, 4), out_c, -1, 1);
    return check_run(ctx, &c);
}

static int check_dw_plain(check_ctx *ctx, int hybrid) {
    check_case c = {.op = hybrid ? "dw_hybrid" : "dw_s16", .tolerance = 1e-6f, .scale = 100.0f};
    edged_depthwise_f32_params f = {0};
    edged_depthwise_s16_params p = {0};
    int32_t batch;
    size_t out_c, inputs, outputs, weights;
    FILL_GEOMETRY(p);
    memcpy(&f, &p, sizeof p - 8); /* the geometry, which both begin with */
    p.act_min = -30000, p.act_max = 32767;
    f.block = 0, f.act_min = -3.4e38f, f.act_max = 3.4e38f;
    c.params = hybrid ? (const void *)&f : (const void *)&p;
    const size_t in = hybrid ? 1 : 2, out = hybrid ? 4 : 2;
    check_operand_add(&c, 0, hybrid ? CHECK_FLOAT : CHECK_EXACT, outputs * out, out);
    check_fill_bytes(ctx, check_operand_add(&c, 1, CHECK_INPUT, inputs * in, in), inputs * in);
    check_fill_bytes(ctx, check_operand_add(&c, 2, CHECK_INPUT, weights, 1), weights);
    if (hybrid) {
        check_fill_floats(ctx, check_operand_add(&c, 3, CHECK_INPUT, out_c * 4, 4), out_c, -1, 1);
        check_fill_floats(ctx, check_operand_add(&c, 4, CHECK_INPUT, out_c * 4, 4), out_c, 0.001f, 0.01f);
        check_fill_floats(ctx, check_operand_add(&c, 5, CHECK_INPUT, (size_t)batch * 4, 4), (size_t)batch, 0.001f, 0.1f);
        int32_t *zero = check_operand_add(&c, 6, CHECK_INPUT, (size_t)batch * 4, 4);
        for (int32_t i = 0; i < batch; i++) zero[i] = check_range(ctx, -128, 127);
        return check_run(ctx, &c);
    }
    int64_t *bias = check_operand_add(&c, 3, CHECK_INPUT, out_c * 8, 8);
    int32_t *multiplier = check_operand_add(&c, 4, CHECK_INPUT, out_c * 4, 4), *shift = check_operand_add(&c, 5, CHECK_INPUT, out_c * 4, 4);
    for (size_t i = 0; i < out_c; i++) {
        bias[i] = check_range(ctx, -90000, 90000);
        multiplier[i] = check_range(ctx, 1 << 30, INT32_MAX);
        shift[i] = check_range(ctx, -12, 0);
    }
    return check_run(ctx, &c);
}

int check_depthwise(check_ctx *ctx) {
    int bad = 0;
    for (int i = 0; i < 250 * ctx->repeats; i++) {
        bad |= check_dw_s8(ctx);
        bad |= check_dw_f32(ctx);
        if (i % 3 == 0) bad |= check_dw_plain(ctx, 0) | check_dw_plain(ctx, 1);
    }
    return bad;
}
