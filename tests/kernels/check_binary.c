/* Pairs of tensors against scalar. */
#include <stdio.h>
#include <string.h>

#include "check.h"

typedef union any_params {
    edged_binary_f32_params f32;
    edged_binary_int_params plain;
    edged_binary_q_params q;
} any_params;

typedef struct pair {
    const char *op;
    char kind; /* f: f32, c: f32 to bool, i: integers, b: integers to bool, q: quantised, s: quantised to bool */
    size_t element;
} pair;

static const pair ops[] = {
    {"add_f32", 'f', 4}, {"sub_f32", 'f', 4}, {"mul_f32", 'f', 4}, {"div_f32", 'f', 4}, {"max_f32", 'f', 4}, {"min_f32", 'f', 4},
    {"squared_difference_f32", 'f', 4}, {"prelu_f32", 'f', 4}, {"floor_div_f32", 'f', 4}, {"eq_f32", 'c', 4}, {"ne_f32", 'c', 4},
    {"lt_f32", 'c', 4}, {"le_f32", 'c', 4}, {"add_s32", 'i', 4}, {"sub_s32", 'i', 4}, {"mul_s32", 'i', 4}, {"div_s32", 'i', 4},
    {"floor_div_s32", 'i', 4}, {"floor_mod_s32", 'i', 4}, {"pow_s32", 'i', 4}, {"add_s64", 'i', 8}, {"floor_div_s64", 'i', 8},
    {"max_s8", 'i', 1}, {"min_s16", 'i', 2}, {"eq_s8", 'b', 1}, {"lt_s32", 'b', 4}, {"le_s64", 'b', 8}, {"and_bool", 'b', 1},
    {"add_s8", 'q', 1}, {"sub_s8", 'q', 1}, {"mul_s8", 'q', 1}, {"squared_difference_s8", 'q', 1}, {"prelu_s8", 'q', 1},
    {"div_s8", 'q', 1}, {"div_s16", 'q', 2}, {"add_pot_s16", 'q', 2}, {"sub_pot_s16", 'q', 2}, {"plain_mul_s8", 'i', 1}, {"plain_add_s16", 'i', 2},
    {"floor_div_s8", 'i', 1}, {"floor_mod_s16", 'i', 2}, {"shift_right_s16", 'i', 2}, {"shift_left_s32", 'i', 4}, {"shift_left_s8", 'i', 1},
    {"shift_right_u32", 'i', 4}, {"xor_s16", 'i', 2}, {"max_u8", 'i', 1}, {"atan2_f32", 'f', 4}, {"mul_s64", 'i', 8},
    {"scaled_lt_s8", 's', 1}, {"add_s16", 'q', 2}, {"sub_s16", 'q', 2}, {"mul_s16", 'q', 2}, {"scaled_eq_s16", 's', 2},
};

static void fill_scales(check_ctx *ctx, edged_binary_q_params *q, const pair *o) {
    q->zero_a = o->element == 1 ? check_range(ctx, -128, 127) : 0;
    q->zero_b = o->element == 1 ? check_range(ctx, -128, 127) : 0;
    q->zero_out = check_range(ctx, -128, 127);
    q->mul_a = check_range(ctx, 1 << 30, INT32_MAX);
    q->mul_b = check_range(ctx, 1 << 30, INT32_MAX);
    q->mul_out = check_range(ctx, 1 << 30, INT32_MAX);
    q->shift_a = check_range(ctx, -6, 0);
    q->shift_b = check_range(ctx, -6, 0);
    const int product = strncmp(o->op, "mul", 3) == 0 || strncmp(o->op, "prelu", 5) == 0;
    if (strstr(o->op, "_pot_")) q->shift_a = check_range(ctx, 0, 15), q->shift_b = 0;
    q->left = product ? 0 : strncmp(o->op, "sq", 2) == 0 ? 7 : o->element == 1 ? 20 : 15;
    q->shift_out = product ? check_range(ctx, -9, 1) : check_range(ctx, -20, -14);
    q->low = o->element == 1 ? -128 + check_range(ctx, 0, 1) * 90 : -30000;
    q->high = o->element == 1 ? 127 - check_range(ctx, 0, 1) * 40 : 30000;
}

static int check_one(check_ctx *ctx, const pair *o) {
    check_case c = {.op = o->op, .tolerance = 2e-6f, .scale = 10.0f};
    any_params p = {.q = {.n0 = 1, .n1 = 1}};
    edged_binary_q_params *l = &p.q; /* the layout, which all begin with */
    l->n2 = check_range(ctx, 1, 3);
    l->n3 = check_range(ctx, 1, 4);
    l->n4 = check_range(ctx, 1, check_range(ctx, 0, 1) ? 9 : 200);
    const int32_t whole[3] = {l->n3 * l->n4, l->n4, 1};
    int32_t *a[3] = {&l->a2, &l->a3, &l->a4}, *b[3] = {&l->b2, &l->b3, &l->b4};
    for (int d = 0; d < 3; d++) {
        *a[d] = check_range(ctx, 0, 4) ? whole[d] : 0;
        *b[d] = check_range(ctx, 0, 2) ? whole[d] : 0;
    }
    l->last = check_range(ctx, 0, 2) ? l->n4 : check_range(ctx, 1, l->n4);
    const size_t elements = (size_t)(l->n2 * l->n3 * l->n4), e = o->element;
    if (o->kind == 'f' || o->kind == 'c') {
        p.f32.low = -20.0f;
        p.f32.high = 30.0f;
    } else if (o->kind == 'q' || o->kind == 's') {
        fill_scales(ctx, &p.q, o);
    } else {
        p.plain.low = INT32_MIN;
        p.plain.high = INT32_MAX;
    }
    c.params = &p;
    c.units = (uint32_t)(l->n2 * l->n3);
    snprintf(c.text, sizeof c.text, "%dx%dx%d (%d), strides %d %d %d, %d %d %d", l->n2, l->n3, l->n4, l->last, l->a2, l->a3, l->a4, l->b2,
             l->b3, l->b4);
    const int bools = o->kind == 'c' || o->kind == 'b' || o->kind == 's';
    const size_t out = elements - (size_t)(l->n4 - l->last);
    check_operand_add(&c, 0, o->kind == 'f' ? CHECK_FLOAT : CHECK_EXACT, out * (bools ? 1 : e), bools ? 1 : e);
    for (int i = 1; i < 3; i++) {
        void *in = check_operand_add(&c, i, CHECK_INPUT, elements * e, e);
        if (o->kind == 'f' || o->kind == 'c') {
            check_fill_floats(ctx, in, elements, -9, 9);
        } else {
            check_fill_bytes(ctx, in, elements * e);
        }
    }
    return check_run(ctx, &c);
}

static int check_add_n(check_ctx *ctx) {
    check_case c = {.op = "add_n_s8", .units = (uint32_t)check_range(ctx, 1, 100)};
    const edged_add_n_params p = {check_range(ctx, 0, 1), check_range(ctx, 0, 1), check_range(ctx, -9999999, 9999999), check_range(ctx, -128, 127), 1 << 30, 0,
                                  check_range(ctx, 1 << 30, INT32_MAX), -19, check_range(ctx, -128, 127)};
    c.params = &p;
    check_operand_add(&c, 0, CHECK_EXACT, c.units, 1);
    int32_t *sum = check_operand_add(&c, 1, CHECK_STATE, 4 * c.units, 4);
    for (uint32_t i = 0; i < c.units; i++) sum[i] = check_range(ctx, -99999999, 99999999);
    check_fill_bytes(ctx, check_operand_add(&c, 2, CHECK_INPUT, c.units, 1), c.units);
    return check_run(ctx, &c);
}

int check_binary(check_ctx *ctx) {
    int bad = 0;
    for (int i = 0; i < 25 * ctx->repeats; i++) {
        bad |= check_add_n(ctx);
        for (size_t k = 0; k < sizeof ops / sizeof *ops; k++) bad |= check_one(ctx, &ops[k]);
    }
    return bad;
}
