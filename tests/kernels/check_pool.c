/* Pooling rows against scalar. */
#include <stdio.h>
#include <string.h>

#include "check.h"

static const struct {
    const char *op;
    size_t element;
} ops[] = {{"max_pool_s8", 1}, {"average_pool_s8", 1}, {"max_pool_s16", 2}, {"average_pool_s16", 2},
           {"max_pool_f32", 4}, {"average_pool_f32", 4}, {"l2_pool_f32", 4}};

/* pool and pool_f32 begin alike. */
static void fill_window(check_ctx *ctx, check_case *c, edged_pool_params *p, int32_t *batch) {
    p->kernel_h = check_range(ctx, 1, 5);
    p->kernel_w = check_range(ctx, 1, 5);
    p->stride_h = check_range(ctx, 1, 3);
    p->stride_w = check_range(ctx, 1, 3);
    p->channels = check_range(ctx, 0, 1) ? check_range(ctx, 1, 20) : check_range(ctx, 60, 140);
    p->in_h = check_range(ctx, p->kernel_h, 12);
    p->in_w = check_range(ctx, p->kernel_w, 12);
    p->pad_top = check_range(ctx, 0, p->kernel_h - 1);
    p->pad_left = check_range(ctx, 0, p->kernel_w - 1);
    p->out_h = (p->in_h + p->pad_top - 1) / p->stride_h + 1;
    p->out_w = (p->in_w + p->pad_left - 1) / p->stride_w + 1;
    *batch = check_range(ctx, 1, 2);
    c->units = (uint32_t)(*batch * p->out_h);
    snprintf(c->text, sizeof c->text, "%dx%dx%d, kernel %dx%d/%d,%d", p->in_h, p->in_w, p->channels, p->kernel_h, p->kernel_w, p->stride_h,
             p->stride_w);
}

static int check_one(check_ctx *ctx, size_t which) {
    check_case c = {.op = ops[which].op, .tolerance = 1e-6f};
    edged_pool_params p = {0};
    edged_pool_f32_params q;
    int32_t batch;
    fill_window(ctx, &c, &p, &batch);
    const size_t element = ops[which].element;
    const size_t inputs = (size_t)(batch * p.in_h * p.in_w * p.channels), outputs = (size_t)(batch * p.out_h * p.out_w * p.channels);
    p.low = -100;
    p.high = 90;
    p.lift = element == 1 && check_range(ctx, 0, 1) ? 128 : 0;
    memcpy(&q, &p, sizeof q);
    q.low = -1.5f;
    q.high = 2.5f;
    c.params = element == 4 ? (const void *)&q : (const void *)&p;
    check_operand_add(&c, 0, element == 4 ? CHECK_FLOAT : CHECK_EXACT, outputs * element, element);
    void *in = check_operand_add(&c, 1, CHECK_INPUT, inputs * element, element);
    if (element == 4) {
        check_fill_floats(ctx, in, inputs, -3, 3);
    } else {
        check_fill_bytes(ctx, in, inputs * element);
    }
    return check_run(ctx, &c);
}

static int check_places(check_ctx *ctx) {
    edged_pool_places_params p = {check_range(ctx, 1, 9), check_range(ctx, 1, 9), check_range(ctx, 1, 5), 0, 0, check_range(ctx, 1, 3), check_range(ctx, 1, 3),
                                  check_range(ctx, 1, 3), check_range(ctx, 1, 3), check_range(ctx, 0, 1), check_range(ctx, 0, 1), check_range(ctx, 0, 1)};
    p.out_h = (p.in_h + p.stride_h - 1) / p.stride_h, p.out_w = (p.in_w + p.stride_w - 1) / p.stride_w;
    const size_t n = (size_t)(2 * p.out_h * p.out_w * p.channels), in = (size_t)(2 * p.in_h * p.in_w * p.channels);
    check_case c = {.op = "pool_places", .params = &p, .units = 2 * (uint32_t)p.out_h};
    check_operand_add(&c, 0, CHECK_EXACT, 4 * n, 4);
    check_operand_add(&c, 1, CHECK_EXACT, 4 * n, 4);
    check_fill_floats(ctx, check_operand_add(&c, 2, CHECK_INPUT, 4 * in, 4), in, -3, 3);
    return check_run(ctx, &c);
}

/* Any float may come as a place. */
static int check_elements(check_ctx *ctx) {
    const edged_place_elements_params p = {check_range(ctx, 1, 5), check_range(ctx, 1, 5), check_range(ctx, 1, 4), 10, 10, 2, 2, 2, 0, 1};
    const size_t n = (size_t)(2 * p.in_h * p.in_w * p.channels);
    check_case c = {.op = "place_elements", .params = &p, .units = (uint32_t)n};
    check_operand_add(&c, 0, CHECK_EXACT, 4 * n, 4);
    float *places = check_operand_add(&c, 1, CHECK_INPUT, 4 * n, 4);
    check_fill_bytes(ctx, places, 4 * n);
    for (size_t i = 0; i < n; i += 2) places[i] = (float)check_range(ctx, -1, 5) + 0.1f;
    return check_run(ctx, &c);
}

int check_pool(check_ctx *ctx) {
    int bad = 0;
    for (int i = 0; i < 40 * ctx->repeats; i++) {
        for (size_t k = 0; k < sizeof ops / sizeof *ops; k++) bad |= check_one(ctx, k);
    }
    for (int i = 0; i < 20 * ctx->repeats; i++) bad |= check_places(ctx) | check_elements(ctx);
    return bad;
}
