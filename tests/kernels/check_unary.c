/* Functions of one tensor, and conversions, against scalar. */
#include <stdio.h>
#include <string.h>

#include "check.h"

typedef struct one {
    const char *op;
    size_t in, out; /* bytes of an element; 4 of out means compared as floats where `real` */
    int real;
    float low, high, a, b, tolerance;
} one;

static const one ops[] = {
    {"clip_f32", 4, 4, 1, -9, 9, 0, 6, 0},          {"leaky_relu_f32", 4, 4, 1, -9, 9, 0.1f, 0, 1e-6f},
    {"hard_swish_f32", 4, 4, 1, -9, 9, 0, 0, 1e-6f}, {"logistic_f32", 4, 4, 1, -90, 90, 0, 0, 1e-6f},
    {"tanh_f32", 4, 4, 1, -12, 12, 0, 0, 1e-6f},     {"exp_f32", 4, 4, 1, -20, 5, 0, 0, 1e-6f},
    {"log_f32", 4, 4, 1, 0.001f, 90, 0, 0, 2e-6f},   {"elu_f32", 4, 4, 1, -9, 9, 0, 0, 1e-6f},
    {"gelu_f32", 4, 4, 1, -6, 6, 0, 0, 2e-6f},       {"gelu_tanh_f32", 4, 4, 1, -6, 6, 0, 0, 2e-6f},
    {"abs_f32", 4, 4, 1, -9, 9, 0, 0, 0},            {"neg_f32", 4, 4, 1, -9, 9, 0, 0, 0},
    {"sqrt_f32", 4, 4, 1, 0, 9, 0, 0, 1e-6f},        {"rsqrt_f32", 4, 4, 1, 0.01f, 9, 0, 0, 2e-6f},
    {"square_f32", 4, 4, 1, -9, 9, 0, 0, 1e-6f},     {"sin_f32", 4, 4, 1, -9, 9, 0, 0, 1e-6f},
    {"cos_f32", 4, 4, 1, -9, 9, 0, 0, 1e-6f},        {"floor_f32", 4, 4, 1, -9, 9, 0, 0, 0},
    {"ceil_f32", 4, 4, 1, -9, 9, 0, 0, 0},           {"round_f32", 4, 4, 1, -9, 9, 0, 0, 0},
    {"sign_f32", 4, 4, 1, -9, 9, 0, 0, 0},           {"not_bool", 1, 1, 0, 0, 0, 0, 0, 0},
    {"abs_s32", 4, 4, 0, 0, 0, 0, 0, 0},             {"neg_s32", 4, 4, 0, 0, 0, 0, 0, 0},
    {"square_s32", 4, 4, 0, 0, 0, 0, 0, 0},          {"sign_s32", 4, 4, 0, 0, 0, 0, 0, 0},
    {"neg_s64", 8, 8, 0, 0, 0, 0, 0, 0},             {"lut_s8", 1, 1, 0, 0, 0, 0, 0, 0},
    {"lut_s16", 2, 2, 0, 0, 0, 0, 0, 0},
};

static int check_one(check_ctx *ctx, const one *o, size_t n) {
    check_case c = {.op = o->op, .units = (uint32_t)n, .tolerance = o->tolerance};
    const edged_unary_params p = {o->a, o->b};
    c.params = &p;
    snprintf(c.text, sizeof c.text, "%zu elements", n);
    check_operand_add(&c, 0, o->real ? CHECK_FLOAT : CHECK_EXACT, n * o->out, o->out);
    void *in = check_operand_add(&c, 1, CHECK_INPUT, n * o->in, o->in);
    if (o->real) {
        check_fill_floats(ctx, in, n, o->low, o->high);
    } else {
        check_fill_bytes(ctx, in, n * o->in);
    }
    const size_t table = strcmp(o->op, "lut_s8") == 0 ? 256 : strcmp(o->op, "lut_s16") == 0 ? 131072 : 0;
    if (table > 0) check_fill_bytes(ctx, check_operand_add(&c, 2, CHECK_INPUT, table, o->out), table);
    return check_run(ctx, &c);
}

int check_unary(check_ctx *ctx) {
    int bad = 0;
    for (size_t k = 0; k < sizeof ops / sizeof *ops; k++) {
        for (int i = 0; i < 8 * ctx->repeats; i++) bad |= check_one(ctx, &ops[k], (size_t)check_range(ctx, 1, i % 2 ? 40 : 300));
    }
    return bad;
}
