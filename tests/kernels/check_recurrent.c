/* SVDF and LSTM rows against scalar, their states included. */
#include <stdio.h>

#include "check.h"
#include "recurrent_more.h"

static void floats(check_ctx *ctx, check_case *c, int index, size_t n) {
    check_fill_floats(ctx, check_operand_add(c, index, CHECK_INPUT, n * 4, 4), n, -1, 1);
}

static void bytes(check_ctx *ctx, check_case *c, int index, size_t n, size_t element) {
    check_fill_bytes(ctx, check_operand_add(c, index, CHECK_INPUT, n * element, element), n * element);
}

static int check_svdf_f32(check_ctx *ctx) {
    check_case c = {.op = "svdf_f32", .tolerance = 1e-5f, .scale = 4.0f};
    const edged_svdf_f32_params p = {check_range(ctx, 1, 60), check_range(ctx, 1, 6), check_range(ctx, 1, 2), check_range(ctx, 1, 20), -4, 4};
    const size_t filters = (size_t)(p.units * p.rank), memory = (size_t)p.memory, depth = (size_t)p.depth;
    c.params = &p;
    c.units = (uint32_t)p.units * 2;
    check_operand_add(&c, 0, CHECK_FLOAT, c.units * 4, 4);
    check_fill_floats(ctx, check_operand_add(&c, 1, CHECK_FLOAT_STATE, filters * memory * 8, 4), filters * memory * 2, -1, 1);
    floats(ctx, &c, 2, 2 * depth);
    floats(ctx, &c, 3, filters * depth);
    floats(ctx, &c, 4, filters * memory);
    floats(ctx, &c, 5, (size_t)p.units);
    return check_run(ctx, &c);
}

static int check_svdf_s8(check_ctx *ctx, const char *op, size_t element) {
    check_case c = {.op = op};
    const edged_svdf_s8_params p = {check_range(ctx, 1, 60), check_range(ctx, 1, 6), check_range(ctx, 1, 2), check_range(ctx, 1, 20), 5, 0, -7,
                                    check_range(ctx, 1 << 30, INT32_MAX), -8, check_range(ctx, 1 << 30, INT32_MAX), element == 2 ? -18 : -10};
    const size_t filters = (size_t)(p.units * p.rank), memory = (size_t)p.memory, depth = (size_t)p.depth;
    c.params = &p;
    c.units = (uint32_t)p.units * 2;
    check_operand_add(&c, 0, CHECK_EXACT, c.units, 1);
    check_fill_bytes(ctx, check_operand_add(&c, 1, CHECK_STATE, filters * memory * 2 * element, element), filters * memory * 2 * element);
    bytes(ctx, &c, 2, 2 * depth, 1);
    bytes(ctx, &c, 3, filters * depth, 1);
    bytes(ctx, &c, 4, filters * memory, element);
    bytes(ctx, &c, 5, (size_t)p.units, 4);
    return check_run(ctx, &c);
}

static int check_lstm_f32(check_ctx *ctx) {
    check_case c = {.op = "lstm_f32", .tolerance = 2e-5f, .units = 2};
    const edged_lstm_f32_params p = {2, check_range(ctx, 1, 4), check_range(ctx, 1, 40), check_range(ctx, 1, 20), check_range(ctx, 0, 1), 1.5f};
    const size_t n = (size_t)p.units, depth = (size_t)p.depth, steps = (size_t)p.steps;
    c.params = &p;
    c.scratch = 16 * n;
    check_operand_add(&c, 0, CHECK_FLOAT, 2 * steps * n * 4, 4);
    for (int i = 1; i < 3; i++) check_fill_floats(ctx, check_operand_add(&c, i, CHECK_FLOAT_STATE, 2 * n * 4, 4), 2 * n, -1, 1);
    floats(ctx, &c, 3, 2 * steps * depth);
    floats(ctx, &c, 4, 4 * n * depth);
    floats(ctx, &c, 5, 4 * n * n);
    floats(ctx, &c, 6, 4 * n);
    return check_run(ctx, &c);
}

static int check_lstm_s8(check_ctx *ctx) {
    check_case c = {.op = "lstm_s8", .units = 2};
    edged_lstm_s8_params p = {.batch = 2, .steps = check_range(ctx, 1, 4), .depth = check_range(ctx, 1, 80), .units = check_range(ctx, 1, 20)};
    const int32_t m = check_range(ctx, 1 << 30, INT32_MAX);
    p.time_major = check_range(ctx, 0, 1), p.cell_clip = check_range(ctx, 0, 1) * 9000;
    p.mi0 = p.mi1 = p.mi2 = p.mi3 = p.mr0 = p.mr1 = p.mr2 = p.mr3 = p.mp0 = p.mp1 = p.mp2 = m;
    p.si0 = p.si1 = p.si2 = p.si3 = p.sr0 = p.sr1 = p.sr2 = p.sr3 = -4;
    p.sp0 = -14, p.sp1 = -18, p.sp2 = -22, p.cell_multiplier = 6, p.cell_shift = check_range(ctx, 0, 3), p.zero_out = -3;
    const size_t n = (size_t)p.units, depth = (size_t)p.depth, steps = (size_t)p.steps;
    c.params = &p;
    c.scratch = 8 * n;
    check_operand_add(&c, 0, CHECK_EXACT, 2 * steps * n, 1);
    check_fill_bytes(ctx, check_operand_add(&c, 1, CHECK_STATE, 2 * n, 1), 2 * n);
    check_fill_bytes(ctx, check_operand_add(&c, 2, CHECK_STATE, 4 * n, 2), 4 * n);
    bytes(ctx, &c, 3, 2 * steps * depth, 1);
    bytes(ctx, &c, 4, 4 * n * depth, 1);
    bytes(ctx, &c, 5, 4 * n * n, 1);
    int32_t *bias = check_operand_add(&c, 6, CHECK_INPUT, 32 * n, 4), *table = check_operand_add(&c, 7, CHECK_INPUT, 1024, 4);
    for (size_t i = 0; i < 8 * n; i++) bias[i] = check_range(ctx, -9000, 9000);
    for (int32_t i = 0; i < 256; i++) table[i] = 32768 + i * 128;
    return check_run(ctx, &c);
}

static void matrix(check_ctx *ctx, check_case *c, int index, size_t n, int hybrid) {
    if (hybrid) bytes(ctx, c, index, n, 1);
    else floats(ctx, c, index, n);
}

/* Quantised inputs may fall on either side of a step where instruction sets differ in the last bit: hybrid cells take one step, from equal floats. */
static int check_lstm_cell(check_ctx *ctx) {
    check_case c = {.op = "lstm_cell", .tolerance = 5e-5f, .units = 2};
    edged_lstm_cell_params p = {.batch = 2, .depth = check_range(ctx, 1, 40), .extra = check_range(ctx, 0, 9), .units = check_range(ctx, 1, 20)};
    const int projected = check_range(ctx, 0, 1);
    p.hybrid = check_range(ctx, 0, 1), p.steps = p.hybrid ? 1 : check_range(ctx, 1, 4), p.outputs = projected ? check_range(ctx, 1, 20) : p.units;
    p.time_major = check_range(ctx, 0, 1), p.backward = check_range(ctx, 0, 1), p.at = check_range(ctx, 0, 3), p.pitch = p.at + p.outputs;
    p.coupled = check_range(ctx, 0, 1), p.asymmetric = check_range(ctx, 0, 1), p.activation = check_range(ctx, 0, 4), p.cell_clip = 1.5f, p.projection_clip = 2.0f;
    p.diagonal = !projected && check_range(ctx, 0, 3) == 0;
    const size_t n = (size_t)p.units, m = (size_t)p.outputs, depth = (size_t)p.depth, extra = (size_t)p.extra, steps = (size_t)p.steps;
    const size_t gates = p.coupled ? 3 : 4;
    c.params = &p;
    c.scratch = 20 * n + depth + extra + m + n;
    check_fill_floats(ctx, check_operand_add(&c, 0, CHECK_FLOAT_STATE, 2 * steps * (size_t)p.pitch * 4, 4), 2 * steps * (size_t)p.pitch, -1, 1);
    check_fill_floats(ctx, check_operand_add(&c, 1, CHECK_FLOAT_STATE, 2 * m * 4, 4), 2 * m, -1, 1);
    check_fill_floats(ctx, check_operand_add(&c, 2, CHECK_FLOAT_STATE, 2 * n * 4, 4), 2 * n, -1, 1);
    floats(ctx, &c, 3, 2 * steps * depth);
    if (extra) floats(ctx, &c, 4, 2 * steps * extra), matrix(ctx, &c, 7, gates * n * extra, p.hybrid);
    matrix(ctx, &c, 5, gates * n * depth, p.hybrid);
    matrix(ctx, &c, 6, gates * n * (p.diagonal ? 1 : m), p.hybrid && !p.diagonal);
    if (check_range(ctx, 0, 1)) floats(ctx, &c, 8, 3 * n);
    if (check_range(ctx, 0, 1)) floats(ctx, &c, 9, gates * n);
    floats(ctx, &c, 10, gates * n);
    if (projected) matrix(ctx, &c, 11, m * n, p.hybrid), floats(ctx, &c, 12, m);
    check_fill_floats(ctx, check_operand_add(&c, 13, CHECK_INPUT, 13 * 4, 4), 13, 0.002f, 0.01f);
    return check_run(ctx, &c);
}

static int check_rnn_cell(check_ctx *ctx) {
    check_case c = {.op = "rnn_cell", .tolerance = 5e-5f, .units = 2};
    edged_rnn_cell_params p = {.batch = 2, .depth = check_range(ctx, 1, 40), .extra = check_range(ctx, 0, 9), .units = check_range(ctx, 1, 20)};
    p.hybrid = check_range(ctx, 0, 1), p.steps = p.hybrid ? 1 : check_range(ctx, 1, 4), p.time_major = check_range(ctx, 0, 1);
    p.backward = check_range(ctx, 0, 1), p.at = check_range(ctx, 0, 3), p.pitch = p.at + p.units, p.asymmetric = check_range(ctx, 0, 1);
    p.activation = check_range(ctx, 2, 4);
    const size_t n = (size_t)p.units, depth = (size_t)p.depth, extra = (size_t)p.extra, steps = (size_t)p.steps;
    c.params = &p;
    c.scratch = 5 * n + depth + extra;
    check_fill_floats(ctx, check_operand_add(&c, 0, CHECK_FLOAT_STATE, 2 * steps * (size_t)p.pitch * 4, 4), 2 * steps * (size_t)p.pitch, -1, 1);
    check_fill_floats(ctx, check_operand_add(&c, 1, CHECK_FLOAT_STATE, 2 * n * 4, 4), 2 * n, -1, 1);
    floats(ctx, &c, 2, 2 * steps * depth);
    if (extra) floats(ctx, &c, 3, 2 * steps * extra), matrix(ctx, &c, 6, n * extra, p.hybrid);
    matrix(ctx, &c, 4, n * depth, p.hybrid);
    matrix(ctx, &c, 5, n * n, p.hybrid);
    floats(ctx, &c, 7, n);
    check_fill_floats(ctx, check_operand_add(&c, 8, CHECK_INPUT, 3 * 4, 4), 3, 0.002f, 0.01f);
    return check_run(ctx, &c);
}

static int check_svdf_hybrid(check_ctx *ctx) {
    check_case c = {.op = "svdf_hybrid", .tolerance = 5e-5f, .units = 2, .scale = 4.0f};
    const edged_svdf_hybrid_params p = {check_range(ctx, 1, 60), check_range(ctx, 1, 6), check_range(ctx, 1, 2), check_range(ctx, 1, 20), check_range(ctx, 0, 1),
                                        check_range(ctx, 0, 4)};
    const size_t filters = (size_t)(p.units * p.rank), memory = (size_t)p.memory, depth = (size_t)p.depth;
    c.params = &p;
    c.scratch = depth;
    check_operand_add(&c, 0, CHECK_FLOAT, 2 * (size_t)p.units * 4, 4);
    check_fill_floats(ctx, check_operand_add(&c, 1, CHECK_FLOAT_STATE, filters * memory * 8, 4), filters * memory * 2, -1, 1);
    floats(ctx, &c, 2, 2 * depth);
    bytes(ctx, &c, 3, filters * depth, 1);
    floats(ctx, &c, 4, filters * memory);
    if (check_range(ctx, 0, 1)) floats(ctx, &c, 5, (size_t)p.units);
    check_fill_floats(ctx, check_operand_add(&c, 6, CHECK_INPUT, 4, 4), 1, 0.002f, 0.01f);
    return check_run(ctx, &c);
}

int check_recurrent(check_ctx *ctx) {
    int bad = 0;
    for (int i = 0; i < 40 * ctx->repeats; i++) {
        bad |= check_svdf_f32(ctx) | check_svdf_s8(ctx, "svdf_s8_s16", 2) | check_svdf_s8(ctx, "svdf_s8_s8", 1);
        bad |= check_lstm_f32(ctx) | check_lstm_s8(ctx) | check_lstm_cell(ctx) | check_rnn_cell(ctx) | check_svdf_hybrid(ctx);
        bad |= check_lstm_integer(ctx) | check_lstm_s16(ctx) | check_lstm_basic(ctx);
    }
    return bad;
}
