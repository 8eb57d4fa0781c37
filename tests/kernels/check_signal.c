/* Audio front ends: inside their operands whatever the samples are. */
#include <stdio.h>

#include "check.h"

static void bytes(check_ctx *ctx, check_case *c, int index, size_t n, size_t element) {
    check_fill_bytes(ctx, check_operand_add(c, index, CHECK_INPUT, n * element, element), n * element);
}

static int check_samples(check_ctx *ctx) {
    const int32_t n = check_range(ctx, 1, 90);
    const edged_signal_window_params w = {n, check_range(ctx, 0, 14)};
    check_case c = {.op = "signal_window", .params = &w, .units = 2 * (uint32_t)n};
    check_operand_add(&c, 0, CHECK_EXACT, 4 * (size_t)n, 2);
    bytes(ctx, &c, 1, 2 * (size_t)n, 2);
    bytes(ctx, &c, 2, (size_t)n, 2);
    int bad = check_run(ctx, &c);
    const edged_signal_auto_scale_params a = {n};
    check_case d = {.op = "signal_auto_scale", .params = &a, .units = 1};
    check_operand_add(&d, 0, CHECK_EXACT, 2 * (size_t)n, 2);
    check_operand_add(&d, 1, CHECK_EXACT, 4, 4);
    int16_t *in = check_operand_add(&d, 2, CHECK_INPUT, 2 * (size_t)n, 2);
    for (int32_t i = 0; i < n; i++) in[i] = (int16_t)check_range(ctx, -300, 300);
    return bad | check_run(ctx, &d);
}

/* Sizes 8 = 4 * 2, 30 = 2 * 3 * 5 and the order that a transform by these radices asks for. */
static int check_rfft(check_ctx *ctx) {
    static const int32_t radices[2][3] = {{4, 2, 0}, {2, 3, 5}};
    const int which = check_range(ctx, 0, 1);
    const edged_signal_rfft_params p = {which ? 30 : 8, check_range(ctx, 1, which ? 60 : 16), which ? 3 : 2};
    check_case c = {.op = "signal_rfft_s16", .params = &p, .units = 3, .scratch = 4 * (size_t)p.size};
    snprintf(c.text, sizeof c.text, "%d of %d samples", p.length, 2 * p.size);
    check_operand_add(&c, 0, CHECK_EXACT, 12 * (size_t)(p.size + 1), 2);
    bytes(ctx, &c, 1, 3 * (size_t)p.length, 2);
    int32_t *radix = check_operand_add(&c, 2, CHECK_INPUT, 4 * (size_t)p.radices, 4), *order = check_operand_add(&c, 3, CHECK_INPUT, 4 * (size_t)p.size, 4);
    for (int32_t i = 0; i < p.radices; i++) radix[i] = radices[which][i];
    for (int32_t i = 0; i < p.size; i++) order[i] = (i * 7) % p.size;
    bytes(ctx, &c, 4, 2 * (size_t)p.size, 2);
    bytes(ctx, &c, 5, (size_t)p.size, 2);
    return check_run(ctx, &c);
}

static int check_bank(check_ctx *ctx) {
    const edged_signal_filter_bank_params p = {check_range(ctx, 1, 9)};
    const size_t tables = (size_t)p.channels + 1;
    check_case c = {.op = "signal_filter_bank", .params = &p, .units = 1};
    check_operand_add(&c, 0, CHECK_EXACT, 8 * (size_t)p.channels, 8);
    bytes(ctx, &c, 1, 40, 4);
    bytes(ctx, &c, 2, 60, 2);
    bytes(ctx, &c, 3, 60, 2);
    int16_t *table[3];
    for (int i = 0; i < 3; i++) table[i] = check_operand_add(&c, 4 + i, CHECK_INPUT, 2 * tables, 2);
    for (size_t i = 0; i < tables; i++) {
        table[2][i] = (int16_t)check_range(ctx, -1, 20);
        table[0][i] = (int16_t)check_range(ctx, 0, 20), table[1][i] = (int16_t)check_range(ctx, 0, 40);
    }
    return check_run(ctx, &c);
}

static int check_channels(check_ctx *ctx) {
    const uint32_t n = (uint32_t)check_range(ctx, 1, 50);
    const edged_signal_energy_params e = {check_range(ctx, 0, 5), check_range(ctx, 5, 50)};
    check_case c = {.op = "signal_energy", .params = &e, .units = n};
    check_operand_add(&c, 0, CHECK_EXACT, 4 * n, 4);
    bytes(ctx, &c, 1, 2 * n, 2);
    int bad = check_run(ctx, &c);
    check_case r = {.op = "signal_root", .params = &e, .units = n};
    check_operand_add(&r, 0, CHECK_EXACT, 4 * n, 4);
    bytes(ctx, &r, 1, n, 8);
    bytes(ctx, &r, 2, 1, 4);
    bad |= check_run(ctx, &r);
    const edged_signal_subtract_params s = {10, 14, 819, check_range(ctx, 0, 1), 400, 800, 15984, 15584};
    check_case d = {.op = "signal_subtract", .params = &s, .units = n};
    for (int i = 0; i < 2; i++) check_operand_add(&d, i, CHECK_EXACT, 4 * n, 4);
    check_fill_bytes(ctx, check_operand_add(&d, 2, CHECK_STATE, 4 * n, 4), 4 * n);
    bytes(ctx, &d, 3, n, 4);
    return bad | check_run(ctx, &d);
}

static int check_gains(check_ctx *ctx) {
    const uint32_t n = (uint32_t)check_range(ctx, 1, 50);
    const edged_signal_pcan_params p = {check_range(ctx, 0, 30)};
    check_case c = {.op = "signal_pcan", .params = &p, .units = n};
    check_operand_add(&c, 0, CHECK_EXACT, 4 * n, 4);
    bytes(ctx, &c, 1, n, 4);
    uint32_t *noise = check_operand_add(&c, 2, CHECK_INPUT, 4 * n, 4);
    for (uint32_t i = 0; i < n; i++) noise[i] = check_random(ctx) >> check_range(ctx, 0, 31);
    bytes(ctx, &c, 3, 125, 2);
    int bad = check_run(ctx, &c);
    const edged_signal_log_params l = {check_range(ctx, 0, 9), 1600};
    check_case d = {.op = "signal_log", .params = &l, .units = n};
    check_operand_add(&d, 0, CHECK_EXACT, 2 * n, 2);
    bytes(ctx, &d, 1, n, 4);
    int32_t *table = check_operand_add(&d, 2, CHECK_INPUT, 4 * 130, 4);
    for (int i = 0; i < 130; i++) table[i] = check_range(ctx, 0, 5700);
    return bad | check_run(ctx, &d);
}

int check_signal(check_ctx *ctx) {
    int bad = 0;
    for (int i = 0; i < 40 * ctx->repeats; i++) {
        bad |= check_samples(ctx) | check_rfft(ctx) | check_bank(ctx) | check_channels(ctx) | check_gains(ctx);
    }
    return bad;
}
