/* Reductions against scalar. */
#include <stdio.h>
#include <string.h>

#include "check.h"

static const struct {
    const char *op;
    char kind; /* f: f32, i: integers, q: scaled, m: edged_reduce_more_params */
    size_t element;
} ops[] = {{"sum_f32", 'f', 4}, {"mean_f32", 'f', 4}, {"prod_f32", 'f', 4}, {"reduce_max_f32", 'f', 4}, {"reduce_min_f32", 'f', 4},
           {"scaled_sum_s8", 'q', 1}, {"scaled_sum_s16", 'q', 2}, {"reduce_max_s8", 'i', 1}, {"reduce_min_s16", 'i', 2},
           {"sum_s32", 'i', 4}, {"prod_s64", 'i', 8}, {"any_bool", 'i', 1}, {"all_bool", 'i', 1},
           {"mean_s32", 'i', 4}, {"mean_s64", 'i', 8}, {"reduce_max_u8", 'i', 1}, {"scaled_prod_s8", 'm', 1}, {"scaled_prod_s16", 'm', 2},
           {"float_sum_s8", 'm', 1}};

typedef union any_params {
    edged_reduce_params plain;
    edged_reduce_q_params q;
    edged_reduce_more_params more;
} any_params;

/* Up to three dimensions, each kept or reduced. */
static int check_one(check_ctx *ctx, size_t which) {
    check_case c = {.op = ops[which].op, .tolerance = 5e-6f, .scale = 10.0f};
    any_params p = {.plain = {.k0 = 1, .k1 = 1, .k2 = 1, .k3 = 1, .r0 = 1, .r1 = 1, .r2 = 1, .r3 = 1}};
    const int32_t n[3] = {check_range(ctx, 1, 6), check_range(ctx, 1, 9), check_range(ctx, 1, check_range(ctx, 0, 1) ? 9 : 150)};
    const int32_t step[3] = {n[1] * n[2], n[2], 1}, kept = check_range(ctx, 0, 7);
    int32_t *count[2][3] = {{&p.plain.r1, &p.plain.r2, &p.plain.r3}, {&p.plain.k1, &p.plain.k2, &p.plain.k3}};
    int32_t *stride[2][3] = {{&p.plain.t1, &p.plain.t2, &p.plain.t3}, {&p.plain.s1, &p.plain.s2, &p.plain.s3}};
    size_t outputs = 1;
    for (int d = 0; d < 3; d++) {
        const int is_kept = kept >> d & 1;
        *count[is_kept][d] = n[d];
        *stride[is_kept][d] = step[d];
        outputs *= is_kept ? (size_t)n[d] : 1;
    }
    const size_t e = ops[which].element, inputs = (size_t)(n[0] * n[1] * n[2]);
    if (ops[which].kind == 'q') {
        p.q.multiplier = check_range(ctx, 1 << 30, INT32_MAX);
        p.q.shift = check_range(ctx, -9, 0);
        p.q.zero_out = 5, p.q.bias = check_range(ctx, -999, 999), p.q.low = -128, p.q.high = 127;
    } else if (ops[which].kind == 'm') {
        p.more.multiplier = check_range(ctx, 1 << 30, INT32_MAX), p.more.shift = check_range(ctx, -9, 0);
        p.more.zero_in = -7, p.more.zero_out = 5, p.more.offset = 128, p.more.scale = 0.125f, p.more.bias = -3.25f;
    } else {
        p.plain.factor = strncmp(ops[which].op, "mean_s", 6) == 0 ? 4.0f : 0.25f;
    }
    c.params = &p;
    c.units = (uint32_t)(p.plain.k0 * p.plain.k1 * p.plain.k2);
    snprintf(c.text, sizeof c.text, "%dx%dx%d, kept %d", n[0], n[1], n[2], kept);
    check_operand_add(&c, 0, ops[which].kind == 'f' ? CHECK_FLOAT : CHECK_EXACT, outputs * e, e);
    void *in = check_operand_add(&c, 1, CHECK_INPUT, inputs * e, e);
    if (ops[which].kind == 'f') {
        check_fill_floats(ctx, in, inputs, strcmp(ops[which].op, "prod_f32") == 0 ? 0.98f : -2, strcmp(ops[which].op, "prod_f32") == 0 ? 1.02f : 2);
    } else {
        check_fill_bytes(ctx, in, inputs * e);
    }
    return check_run(ctx, &c);
}

static int check_arg(check_ctx *ctx, const char *op, size_t element) {
    check_case c = {.op = op, .units = 3};
    const edged_arg_params p = {check_range(ctx, 1, 20), check_range(ctx, 1, 9), check_range(ctx, 0, 1)};
    const size_t bytes = 3 * (size_t)(p.axis * p.inner) * element, place = p.wide ? 8 : 4;
    c.params = &p;
    check_operand_add(&c, 0, CHECK_EXACT, 3 * (size_t)p.inner * place, place);
    check_fill_bytes(ctx, check_operand_add(&c, 1, CHECK_INPUT, bytes, element), bytes);
    return check_run(ctx, &c);
}

int check_reduce(check_ctx *ctx) {
    int bad = 0;
    for (int i = 0; i < 40 * ctx->repeats; i++) {
        for (size_t k = 0; k < sizeof ops / sizeof *ops; k++) bad |= check_one(ctx, k);
        bad |= check_arg(ctx, "arg_max_u8", 1) | check_arg(ctx, "arg_min_s16", 2) | check_arg(ctx, "arg_max_s8", 1);
    }
    return bad;
}
