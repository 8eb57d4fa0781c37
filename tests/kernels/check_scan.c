/* What walks an axis or a list in order: inside its operands whatever the indices say. */
#include <stdio.h>
#include <string.h>

#include "check.h"

typedef struct typed {
    const char *op;
    size_t element;
} typed;

static void bytes(check_ctx *ctx, check_case *c, int index, size_t n, size_t element) {
    check_fill_bytes(ctx, check_operand_add(c, index, CHECK_INPUT, n * element, element), n * element);
}

static void values(check_ctx *ctx, check_case *c, int index, size_t n, const typed *t) {
    if (strstr(t->op, "_f32")) check_fill_floats(ctx, check_operand_add(c, index, CHECK_INPUT, n * 4, 4), n, -4, 4);
    else bytes(ctx, c, index, n, t->element);
}

static int check_topk(check_ctx *ctx, const typed *t) {
    check_case c = {.op = t->op, .units = 3};
    const int32_t depth = check_range(ctx, 1, 70);
    const edged_topk_params p = {depth, check_range(ctx, 1, depth), check_range(ctx, 1, 2) * 2};
    c.params = &p;
    snprintf(c.text, sizeof c.text, "%d of %d", p.count, depth);
    check_operand_add(&c, 0, CHECK_EXACT, 3 * (size_t)p.count * t->element, t->element);
    check_operand_add(&c, 1, CHECK_EXACT, 3 * (size_t)(p.count * p.index_bytes), (size_t)p.index_bytes);
    values(ctx, &c, 2, 3 * (size_t)depth, t);
    return check_run(ctx, &c);
}

static int check_cumsum(check_ctx *ctx, const typed *t) {
    check_case c = {.op = t->op, .units = 3};
    const edged_cumsum_params p = {check_range(ctx, 1, 9), check_range(ctx, 1, 9), check_range(ctx, 0, 1), check_range(ctx, 0, 1), 77777, -5,
                                   1 << 30, 0, check_range(ctx, 1 << 30, INT32_MAX), -18, 9};
    const size_t n = 3 * (size_t)(p.axis * p.inner);
    c.params = &p;
    check_operand_add(&c, 0, CHECK_EXACT, n * t->element, t->element);
    values(ctx, &c, 1, n, t);
    return check_run(ctx, &c);
}

static int check_segment(check_ctx *ctx, const typed *t) {
    check_case c = {.op = t->op, .units = 1};
    const edged_segment_params p = {check_range(ctx, 1, 6), check_range(ctx, 1, 12), check_range(ctx, 1, 9)};
    c.params = &p;
    check_operand_add(&c, 0, CHECK_EXACT, (size_t)(p.segments * p.inner) * 4, 4);
    values(ctx, &c, 1, (size_t)(p.rows * p.inner), t);
    int32_t *ids = check_operand_add(&c, 2, CHECK_INPUT, (size_t)p.rows * 4, 4);
    for (int32_t i = 0; i < p.rows; i++) ids[i] = check_range(ctx, 0, 3) ? check_range(ctx, -1, p.segments) : (int32_t)check_random(ctx);
    return check_run(ctx, &c);
}

static int check_sparse(check_ctx *ctx) {
    check_case c = {.op = "sparse_to_dense", .units = 1};
    const edged_sparse_to_dense_params p = {2, 1 << check_range(ctx, 0, 3), check_range(ctx, 0, 1), check_range(ctx, 0, 1), check_range(ctx, 1, 5),
                                            check_range(ctx, 1, 5), 1, 1, 1, check_range(ctx, 1, 9)};
    const size_t rows = (size_t)p.rows, size = (size_t)p.size;
    c.params = &p;
    check_operand_add(&c, 0, CHECK_EXACT, (size_t)(p.n0 * p.n1) * size, size);
    int32_t *index = check_operand_add(&c, 1, CHECK_INPUT, rows * 2 * (p.wide ? 8 : 4), 4);
    check_fill_bytes(ctx, index, rows * 2 * (p.wide ? 8 : 4));
    for (size_t i = 0; !p.wide && i < rows * 2; i++) index[i] = check_range(ctx, 0, 5);
    bytes(ctx, &c, 2, p.single ? 1 : rows, size);
    bytes(ctx, &c, 3, 1, size);
    return check_run(ctx, &c);
}

static int check_embedding(check_ctx *ctx) {
    check_case c = {.op = "embedding_s8", .units = (uint32_t)check_range(ctx, 1, 9), .tolerance = 1e-6f};
    const edged_embedding_s8_params p = {check_range(ctx, 1, 9), check_range(ctx, 1, 40), check_range(ctx, 0, 1)};
    const size_t scales = p.single ? 1 : (size_t)p.rows;
    c.params = &p;
    check_operand_add(&c, 0, CHECK_FLOAT, c.units * (size_t)p.inner * 4, 4);
    bytes(ctx, &c, 1, (size_t)(p.rows * p.inner), 1);
    int32_t *ids = check_operand_add(&c, 2, CHECK_INPUT, c.units * 4, 4);
    for (uint32_t i = 0; i < c.units; i++) ids[i] = check_range(ctx, 0, 2) ? check_range(ctx, -2, p.rows + 1) : (int32_t)check_random(ctx);
    check_fill_floats(ctx, check_operand_add(&c, 3, CHECK_INPUT, scales * 4, 4), scales, 0.01f, 2);
    return check_run(ctx, &c);
}

static int check_bucketize(check_ctx *ctx, const typed *t) {
    check_case c = {.op = t->op, .units = (uint32_t)check_range(ctx, 1, 40)};
    const edged_bucketize_params p = {check_range(ctx, 0, 9)};
    c.params = &p;
    check_operand_add(&c, 0, CHECK_EXACT, c.units * 4, 4);
    values(ctx, &c, 1, c.units, t);
    float *boundaries = check_operand_add(&c, 2, CHECK_INPUT, (size_t)(p.count + 1) * 4, 4);
    for (int32_t i = 0; i < p.count; i++) boundaries[i] = (float)i - 4.5f;
    return check_run(ctx, &c);
}

int check_scan(check_ctx *ctx) {
    static const typed greatest[] = {{"topk_f32", 4}, {"topk_s8", 1}, {"topk_u8", 1}, {"topk_s16", 2}, {"topk_s32", 4}, {"topk_s64", 8}};
    static const typed sums[] = {{"cumsum_f32", 4}, {"cumsum_s32", 4}, {"cumsum_s64", 8}, {"cumsum_s8", 1}};
    static const typed joined[] = {{"segment_sum_f32", 4}, {"segment_prod_f32", 4}, {"segment_max_f32", 4}, {"segment_min_f32", 4},
                                   {"segment_sum_s32", 4}, {"segment_prod_s32", 4}, {"segment_max_s32", 4}, {"segment_min_s32", 4}};
    static const typed buckets[] = {{"bucketize_f32", 4}, {"bucketize_s32", 4}, {"bucketize_s64", 8}};
    int bad = 0;
    for (int i = 0; i < 20 * ctx->repeats; i++) {
        for (size_t k = 0; k < sizeof greatest / sizeof *greatest; k++) bad |= check_topk(ctx, &greatest[k]);
        for (size_t k = 0; k < sizeof sums / sizeof *sums; k++) bad |= check_cumsum(ctx, &sums[k]);
        for (size_t k = 0; k < sizeof joined / sizeof *joined; k++) bad |= check_segment(ctx, &joined[k]);
        for (size_t k = 0; k < sizeof buckets / sizeof *buckets; k++) bad |= check_bucketize(ctx, &buckets[k]);
        bad |= check_sparse(ctx) | check_embedding(ctx);
    }
    return bad;
}
