/* Data movement: inside its operands whatever the indices say. */
#include <stdio.h>
#include <string.h>

#include "check.h"

/* A transposition of three dimensions out of a larger source. */
static int check_strided(check_ctx *ctx) {
    check_case c = {.op = "move"};
    const int32_t size = 1 << check_range(ctx, 0, 4), n[3] = {check_range(ctx, 1, 9), check_range(ctx, 1, 9), check_range(ctx, 1, 30)};
    edged_move_params p = {.n1 = 1, .n2 = 1, .n3 = 1, .size = size};
    const int reversed = check_range(ctx, 0, 1);
    p.n0 = n[0], p.n4 = n[1], p.n5 = n[2];
    p.d0 = n[1] * n[2] * size, p.d4 = n[2] * size, p.d5 = size;
    p.s0 = size, p.s4 = n[0] * size, p.s5 = n[0] * n[1] * size;
    if (check_range(ctx, 0, 1)) p.s0 = p.d0, p.s4 = p.d4, p.s5 = p.d5;
    if (reversed) p.source = (n[0] - 1) * p.s0, p.s0 = -p.s0;
    const size_t bytes = (size_t)(n[0] * n[1] * n[2] * size);
    c.params = &p;
    c.units = (uint32_t)n[0];
    snprintf(c.text, sizeof c.text, "%dx%dx%d of %d bytes", n[0], n[1], n[2], size);
    check_operand_add(&c, 0, CHECK_EXACT, bytes, 1);
    check_fill_bytes(ctx, check_operand_add(&c, 1, CHECK_INPUT, bytes, 1), bytes);
    return check_run(ctx, &c);
}

static int check_fills(check_ctx *ctx) {
    check_case c = {.op = "fill"};
    const edged_fill_params p = {1 << check_range(ctx, 0, 3)};
    c.params = &p;
    c.units = (uint32_t)check_range(ctx, 1, 100);
    check_operand_add(&c, 0, CHECK_EXACT, c.units * (size_t)p.size, 1);
    check_fill_bytes(ctx, check_operand_add(&c, 1, CHECK_INPUT, (size_t)p.size, 1), (size_t)p.size);
    return check_run(ctx, &c);
}

/* Random bytes as indices: nearly all are far outside. */
static int check_gathers(check_ctx *ctx) {
    check_case c = {.op = "gather"};
    const edged_gather_params p = {check_range(ctx, 1, 3), check_range(ctx, 1, 5), check_range(ctx, 1, 6), check_range(ctx, 1, 20),
                                   check_range(ctx, 0, 1)};
    const size_t batch = 2, slabs = batch * (size_t)p.outer, index = batch * (size_t)p.count * (p.wide ? 8 : 4);
    c.params = &p;
    c.units = (uint32_t)(slabs * (size_t)p.count);
    snprintf(c.text, sizeof c.text, "%d of %d, %d bytes", p.count, p.axis, p.inner);
    check_operand_add(&c, 0, CHECK_EXACT, c.units * (size_t)p.inner, 1);
    const size_t bytes = slabs * (size_t)(p.axis * p.inner);
    check_fill_bytes(ctx, check_operand_add(&c, 1, CHECK_INPUT, bytes, 1), bytes);
    check_fill_bytes(ctx, check_operand_add(&c, 2, CHECK_INPUT, index, 4), index);
    return check_run(ctx, &c);
}

static int check_nd(check_ctx *ctx, const char *op) {
    check_case c = {.op = op};
    const int32_t n0 = check_range(ctx, 1, 5), n1 = check_range(ctx, 1, 5), rows = check_range(ctx, 1, 12), wide = check_range(ctx, 0, 1);
    const size_t index = (size_t)rows * 2 * (wide ? 8 : 4), inner = (size_t)check_range(ctx, 1, 9);
    const edged_gather_nd_params gather = {.depth = 2, .inner = (int32_t)inner, .wide = wide, .n0 = n0, .n1 = n1, .n2 = 1, .n3 = 1, .n4 = 1};
    const edged_scatter_nd_params scatter = {.depth = 2, .inner = (int32_t)inner, .wide = wide, .n0 = n0, .n1 = n1, .n2 = 1, .n3 = 1,
                                             .n4 = 1, .rows = rows};
    const int gathers = strcmp(op, "gather_nd") == 0;
    const size_t element = gathers ? 1 : 4, whole = (size_t)(n0 * n1) * inner * element, part = (size_t)rows * inner * element;
    c.params = gathers ? (const void *)&gather : (const void *)&scatter;
    c.units = gathers ? (uint32_t)rows : 1;
    check_operand_add(&c, 0, CHECK_EXACT, gathers ? part : whole, element);
    check_fill_bytes(ctx, check_operand_add(&c, gathers ? 1 : 2, CHECK_INPUT, gathers ? whole : part, element), gathers ? whole : part);
    int32_t *to = check_operand_add(&c, gathers ? 2 : 1, CHECK_INPUT, index, 4);
    check_fill_bytes(ctx, to, index);
    for (int32_t i = 0; !wide && i < rows * 2; i += 3) to[i] = check_range(ctx, 0, 5);
    return check_run(ctx, &c);
}

static int check_one_hot(check_ctx *ctx) {
    check_case c = {.op = "one_hot", .units = 3};
    const edged_one_hot_params p = {5, 4, 2, 0};
    c.params = &p;
    check_operand_add(&c, 0, CHECK_EXACT, 3 * 5 * 4 * 2, 2);
    int32_t *index = check_operand_add(&c, 1, CHECK_INPUT, 48, 4);
    for (int i = 0; i < 12; i++) index[i] = check_range(ctx, -3, 7);
    check_fill_bytes(ctx, check_operand_add(&c, 2, CHECK_INPUT, 2, 1), 2);
    check_fill_bytes(ctx, check_operand_add(&c, 3, CHECK_INPUT, 2, 1), 2);
    return check_run(ctx, &c);
}

static int check_reverse(check_ctx *ctx) {
    check_case c = {.op = "reverse_sequence", .units = 2};
    const edged_reverse_sequence_params p = {3, 2, 4, 5, 0, check_range(ctx, 0, 1)};
    c.params = &p;
    check_operand_add(&c, 0, CHECK_EXACT, 2 * 3 * 2 * 4 * 5, 1);
    check_fill_bytes(ctx, check_operand_add(&c, 1, CHECK_INPUT, 240, 1), 240);
    int32_t *length = check_operand_add(&c, 2, CHECK_INPUT, 12, 4);
    for (int i = 0; i < 3; i++) length[i] = check_range(ctx, 0, 1) ? check_range(ctx, 0, 4) : (int32_t)check_random(ctx);
    return check_run(ctx, &c);
}

int check_move(check_ctx *ctx) {
    int bad = 0;
    for (int i = 0; i < 60 * ctx->repeats; i++) {
        bad |= check_strided(ctx) | check_fills(ctx) | check_gathers(ctx) | check_nd(ctx, "gather_nd");
        bad |= check_nd(ctx, "scatter_nd_f32") | check_nd(ctx, "scatter_nd_s32");
        bad |= check_one_hot(ctx) | check_reverse(ctx);
    }
    return bad;
}
