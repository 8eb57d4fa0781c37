/* The integer LSTM cells and LSTM's basic kernel. */
#include "recurrent_more.h"

static void bytes(check_ctx *ctx, check_case *c, int index, check_kind kind, size_t n, size_t element) {
    check_fill_bytes(ctx, check_operand_add(c, index, kind, n * element, element), n * element);
}

static void integers(check_ctx *ctx, check_case *c, int index, size_t n, int32_t limit) {
    int32_t *made = check_operand_add(c, index, CHECK_INPUT, 4 * n, 4);
    for (size_t i = 0; i < n; i++) made[i] = check_range(ctx, -limit, limit);
}

/* Gates' factors: pairs of multiplier and shift, with `tail` more numbers of 1 behind them. */
static void factors(check_ctx *ctx, check_case *c, int index, int pairs, int tail) {
    int32_t *made = check_operand_add(c, index, CHECK_INPUT, (size_t)(4 * (2 * pairs + tail)) * 4, 4);
    for (int gate = 0; gate < 4; gate++) {
        for (int i = 0; i < pairs; i++) *made++ = check_range(ctx, 1 << 30, INT32_MAX), *made++ = i == 3 ? -12 : check_range(ctx, -7, -3);
        for (int i = 0; i < tail; i++) *made++ = 1;
    }
}

int check_lstm_integer(check_ctx *ctx) {
    check_case c = {.op = "lstm_integer", .units = 2};
    edged_lstm_integer_params p = {.batch = 2, .steps = check_range(ctx, 1, 4), .depth = check_range(ctx, 1, 80), .units = check_range(ctx, 1, 20)};
    const int projected = check_range(ctx, 0, 1);
    p.outputs = projected ? check_range(ctx, 1, 20) : p.units, p.time_major = check_range(ctx, 0, 1), p.coupled = check_range(ctx, 0, 1);
    p.cell_bits = check_range(ctx, 0, 6), p.cell_clip = check_range(ctx, 0, 1) * 9000, p.projection_clip = check_range(ctx, 0, 1) * 100;
    p.hidden_multiplier = p.projection_multiplier = check_range(ctx, 1 << 30, INT32_MAX), p.hidden_shift = -22, p.projection_shift = -7;
    p.zero_hidden = -5, p.zero_out = 3;
    const size_t n = (size_t)p.units, m = (size_t)p.outputs, depth = (size_t)p.depth, steps = (size_t)p.steps, gates = p.coupled ? 3 : 4;
    c.params = &p;
    c.scratch = 9 * n;
    check_operand_add(&c, 0, CHECK_EXACT, 2 * steps * m, 1);
    bytes(ctx, &c, 1, CHECK_STATE, 2 * m, 1);
    bytes(ctx, &c, 2, CHECK_STATE, 2 * n, 2);
    bytes(ctx, &c, 3, CHECK_INPUT, 2 * steps * depth, 1);
    bytes(ctx, &c, 4, CHECK_INPUT, gates * n * depth, 1);
    bytes(ctx, &c, 5, CHECK_INPUT, gates * n * m, 1);
    integers(ctx, &c, 6, 2 * gates * n, 9000);
    if (check_range(ctx, 0, 1)) bytes(ctx, &c, 7, CHECK_INPUT, 3 * n, 2);
    if (check_range(ctx, 0, 1)) bytes(ctx, &c, 8, CHECK_INPUT, gates * n, 2), integers(ctx, &c, 9, gates * n, 9000);
    if (projected) bytes(ctx, &c, 10, CHECK_INPUT, m * n, 1), integers(ctx, &c, 11, m, 900);
    factors(ctx, &c, 12, 4, 1);
    return check_run(ctx, &c);
}

int check_lstm_s16(check_ctx *ctx) {
    check_case c = {.op = "lstm_s16", .units = 2};
    edged_lstm_s16_params p = {.batch = 2, .steps = check_range(ctx, 1, 4), .depth = check_range(ctx, 1, 600), .units = check_range(ctx, 1, 20)};
    p.time_major = check_range(ctx, 0, 1), p.cell_clip = check_range(ctx, 0, 1) * 9000;
    p.mp0 = p.mp1 = p.mp2 = check_range(ctx, 1 << 30, INT32_MAX), p.sp0 = -14, p.sp1 = -18, p.sp2 = -14;
    p.cell_multiplier = 6, p.cell_shift = check_range(ctx, 0, 3), p.zero_out = 0;
    const size_t n = (size_t)p.units, depth = (size_t)p.depth, steps = (size_t)p.steps;
    c.params = &p;
    c.scratch = 8 * n;
    check_operand_add(&c, 0, CHECK_EXACT, 4 * steps * n, 2);
    bytes(ctx, &c, 1, CHECK_STATE, 2 * n, 2);
    bytes(ctx, &c, 2, CHECK_STATE, 2 * n, 2);
    bytes(ctx, &c, 3, CHECK_INPUT, 2 * steps * depth, 2);
    bytes(ctx, &c, 4, CHECK_INPUT, 4 * n * depth, 1);
    bytes(ctx, &c, 5, CHECK_INPUT, 4 * n * n, 1);
    int64_t *bias = check_operand_add(&c, 6, CHECK_INPUT, 64 * n, 8);
    for (size_t i = 0; i < 8 * n; i++) bias[i] = (int64_t)check_range(ctx, -9000, 9000) * 4096;
    int32_t *table = check_operand_add(&c, 7, CHECK_INPUT, 1024, 4);
    for (int32_t i = 0; i < 256; i++) table[i] = 32768 + i * 128;
    int32_t *made = check_operand_add(&c, 8, CHECK_INPUT, 64, 4);
    for (int i = 0; i < 16; i += 2) made[i] = check_range(ctx, 1 << 30, INT32_MAX), made[i + 1] = check_range(ctx, -14, -9);
    return check_run(ctx, &c);
}

static int one_basic(check_ctx *ctx, int whole) {
    check_case c = {.op = whole ? "lstm_basic_s8" : "lstm_basic_f32", .units = 3, .tolerance = 2e-5f};
    const edged_lstm_basic_params p = {check_range(ctx, 1, 40), check_range(ctx, 1, 20), check_range(ctx, 1 << 30, INT32_MAX), check_range(ctx, -6, 1), 0,
                                       check_range(ctx, -20, 20)};
    const size_t n = (size_t)p.units, depth = (size_t)p.depth, width = n + depth;
    const size_t counts[9] = {3 * n, 3 * n, 3 * width, 12 * n, 3 * depth, 3 * n, 4 * n * width, 4 * n, 3 * n};
    const size_t sizes[9] = {1, 2, 1, 2, 1, 1, 1, 4, 2};
    c.params = &p;
    for (int i = 0; i < 9; i++) {
        if (i < 4) check_operand_add(&c, i, whole ? CHECK_EXACT : CHECK_FLOAT, counts[i] * (whole ? sizes[i] : 4), whole ? sizes[i] : 4);
        else if (i == 7 && whole) integers(ctx, &c, i, counts[i], 9000);
        else if (whole) bytes(ctx, &c, i, CHECK_INPUT, counts[i], sizes[i]);
        else check_fill_floats(ctx, check_operand_add(&c, i, CHECK_INPUT, counts[i] * 4, 4), counts[i], -1, 1);
    }
    return check_run(ctx, &c);
}

int check_lstm_basic(check_ctx *ctx) { return one_basic(ctx, 0) | one_basic(ctx, 1); }
