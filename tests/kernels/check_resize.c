/* Resizing rows against scalar. */
#include <stdio.h>
#include <string.h>

#include "check.h"

/* Indices in [0, size) for operand `index`. */
static void indices(check_ctx *ctx, check_case *c, int index, int32_t count, int32_t size) {
    int32_t *to = check_operand_add(c, index, CHECK_INPUT, (size_t)count * 4, 4);
    for (int32_t i = 0; i < count; i++) to[i] = check_range(ctx, 0, size - 1);
}

static int check_nearest(check_ctx *ctx) {
    check_case c = {.op = "resize_nearest"};
    const edged_resize_nearest_params p = {check_range(ctx, 1, 9), check_range(ctx, 1, 9), check_range(ctx, 1, 12), check_range(ctx, 1, 12),
                                           check_range(ctx, 1, 70)};
    c.params = &p;
    c.units = (uint32_t)p.out_h * 2;
    snprintf(c.text, sizeof c.text, "%dx%d to %dx%d, %d bytes", p.in_h, p.in_w, p.out_h, p.out_w, p.pixel);
    const size_t inputs = (size_t)(2 * p.in_h * p.in_w * p.pixel);
    check_operand_add(&c, 0, CHECK_EXACT, (size_t)(2 * p.out_h * p.out_w * p.pixel), 1);
    check_fill_bytes(ctx, check_operand_add(&c, 1, CHECK_INPUT, inputs, 1), inputs);
    indices(ctx, &c, 2, p.out_h, p.in_h);
    indices(ctx, &c, 3, p.out_w, p.in_w);
    return check_run(ctx, &c);
}

static int check_bilinear(check_ctx *ctx, const char *op, size_t e) {
    check_case c = {.op = op, .tolerance = 2e-6f};
    const edged_resize_bilinear_params p = {check_range(ctx, 1, 9), check_range(ctx, 1, 9), check_range(ctx, 1, 12), check_range(ctx, 1, 12),
                                            check_range(ctx, 1, 70)};
    c.params = &p;
    c.units = (uint32_t)p.out_h;
    snprintf(c.text, sizeof c.text, "%dx%d to %dx%d, %d channels", p.in_h, p.in_w, p.out_h, p.out_w, p.channels);
    const size_t inputs = (size_t)(p.in_h * p.in_w * p.channels);
    check_operand_add(&c, 0, e == 4 ? CHECK_FLOAT : CHECK_EXACT, (size_t)(p.out_h * p.out_w * p.channels) * e, e);
    void *in = check_operand_add(&c, 1, CHECK_INPUT, inputs * e, e);
    for (int axis = 0; axis < 2; axis++) {
        const int32_t out = axis ? p.out_w : p.out_h, size = axis ? p.in_w : p.in_h;
        indices(ctx, &c, 2 + 3 * axis, out, size);
        indices(ctx, &c, 3 + 3 * axis, out, size);
        void *part = check_operand_add(&c, 4 + 3 * axis, CHECK_INPUT, (size_t)out * 4, 4);
        for (int32_t i = 0; i < out; i++) {
            if (strcmp(op, "resize_bilinear_s8") != 0) {
                ((float *)part)[i] = check_real(ctx, 0, 1);
            } else {
                ((int32_t *)part)[i] = check_range(ctx, 0, 1023);
            }
        }
    }
    if (e == 4) {
        check_fill_floats(ctx, in, inputs, -2, 2);
    } else {
        check_fill_bytes(ctx, in, inputs);
    }
    return check_run(ctx, &c);
}

int check_resize(check_ctx *ctx) {
    int bad = 0;
    for (int i = 0; i < 40 * ctx->repeats; i++) {
        bad |= check_nearest(ctx) | check_bilinear(ctx, "resize_bilinear_f32", 4) | check_bilinear(ctx, "resize_bilinear_s8", 1);
        bad |= check_bilinear(ctx, "resize_bilinear_u8", 1);
    }
    return bad;
}
