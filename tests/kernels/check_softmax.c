/* Normalisations of rows against scalar. */
#include <stdio.h>
#include <string.h>

#include "check.h"

static int check_f32(check_ctx *ctx, const char *op) {
    check_case c = {.op = op, .tolerance = 3e-6f};
    const edged_softmax_f32_params p = {check_range(ctx, 1, 200), 0.7f};
    const edged_lrn_f32_params lrn = {check_range(ctx, 1, 40), check_range(ctx, 0, 4), 1.5f, 0.4f, 0.75f};
    const int is_lrn = strcmp(op, "lrn_f32") == 0;
    const size_t n = (size_t)(is_lrn ? lrn.depth : p.depth) * 3;
    c.params = is_lrn ? (const void *)&lrn : (const void *)&p;
    c.units = 3;
    snprintf(c.text, sizeof c.text, "depth %zu", n / 3);
    check_operand_add(&c, 0, CHECK_FLOAT, n * 4, 4);
    check_fill_floats(ctx, check_operand_add(&c, 1, CHECK_INPUT, n * 4, 4), n, -8, 8);
    return check_run(ctx, &c);
}

static int check_s8(check_ctx *ctx, const char *op, size_t element) {
    check_case c = {.op = op, .units = 3};
    const edged_softmax_s8_params p = {check_range(ctx, 1, 200)};
    const size_t n = (size_t)p.depth * 3;
    c.params = &p;
    snprintf(c.text, sizeof c.text, "depth %d", p.depth);
    check_operand_add(&c, 0, CHECK_EXACT, n * element, element);
    check_fill_bytes(ctx, check_operand_add(&c, 1, CHECK_INPUT, n, 1), n);
    int32_t *table = check_operand_add(&c, 2, CHECK_INPUT, 1024, 4);
    for (int i = 0; i < 256; i++) table[i] = INT32_MAX / (i + 1);
    return check_run(ctx, &c);
}

static int check_s16(check_ctx *ctx) {
    check_case c = {.op = "softmax_s16", .units = 3};
    const edged_softmax_s16_params p = {check_range(ctx, 1, 200), check_range(ctx, 1 << 30, INT32_MAX), check_range(ctx, -3, 6)};
    const size_t n = (size_t)p.depth * 3;
    c.params = &p;
    check_operand_add(&c, 0, CHECK_EXACT, n * 2, 2);
    check_fill_bytes(ctx, check_operand_add(&c, 1, CHECK_INPUT, n * 2, 2), n * 2);
    int16_t *exponentials = check_operand_add(&c, 2, CHECK_INPUT, 1026, 2), *inverses = check_operand_add(&c, 3, CHECK_INPUT, 1026, 2);
    for (int32_t i = 0; i < 513; i++) exponentials[i] = (int16_t)(i * 32767 / 512), inverses[i] = (int16_t)(32767 - i * 32);
    return check_run(ctx, &c);
}

static int check_l2_s8(check_ctx *ctx) {
    check_case c = {.op = "l2_norm_s8", .units = 3};
    const int32_t before = check_range(ctx, 0, 1) * 7;
    const edged_l2_norm_s8_params p = {check_range(ctx, 1, 80), check_range(ctx, -128, 127), before, 7 - before};
    c.params = &p;
    check_operand_add(&c, 0, CHECK_EXACT, 3 * (size_t)p.depth, 1);
    check_fill_bytes(ctx, check_operand_add(&c, 1, CHECK_INPUT, 3 * (size_t)p.depth, 1), 3 * (size_t)p.depth);
    return check_run(ctx, &c);
}

/* The table falls as an exponential does: by a quarter a step. */
static int check_log_s8(check_ctx *ctx) {
    check_case c = {.op = "log_softmax_s8", .units = 3};
    const edged_log_softmax_s8_params p = {check_range(ctx, 1, 80), 1288490189, 24, -120, 1789569707, -24};
    c.params = &p;
    check_operand_add(&c, 0, CHECK_EXACT, 3 * (size_t)p.depth, 1);
    check_fill_bytes(ctx, check_operand_add(&c, 1, CHECK_INPUT, 3 * (size_t)p.depth, 1), 3 * (size_t)p.depth);
    int32_t *table = check_operand_add(&c, 2, CHECK_INPUT, 1024, 4);
    table[0] = INT32_MAX;
    for (int i = 1; i < 256; i++) table[i] = table[i - 1] / 4 * 3;
    return check_run(ctx, &c);
}

int check_softmax(check_ctx *ctx) {
    int bad = 0;
    for (int i = 0; i < 50 * ctx->repeats; i++) {
        bad |= check_f32(ctx, "softmax_f32") | check_f32(ctx, "log_softmax_f32") | check_f32(ctx, "l2_norm_f32") | check_f32(ctx, "lrn_f32");
        bad |= check_s8(ctx, "softmax_s8", 1) | check_s8(ctx, "softmax_s8_s16", 2) | check_s16(ctx);
        bad |= check_l2_s8(ctx) | check_log_s8(ctx);
    }
    return bad;
}
