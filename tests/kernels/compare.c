/* Running the rows of one case and comparing them with the scalar row. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "memory.h"

#define OPPARAMS(op, params)
#define KERNEL(arch, op, function, mr, nr, kr) edged_kernel function;
#include "kernels.inc"
#undef KERNEL
#define KERNEL(arch, op, function, mr, nr, kr) {arch, #op, #function, function, mr, nr, kr},
static const edged_kernel_row ROWS[] = {
#include "kernels.inc"
};
#undef KERNEL
enum { ROW_COUNT = sizeof ROWS / sizeof *ROWS };

check_place check_now;

/* Guarded memory and saved contents of the current case's operands. */
static guarded memory[CHECK_OPERANDS];
static uint8_t *initial[CHECK_OPERANDS];
static uint8_t *expected[CHECK_OPERANDS];

const edged_kernel_row *check_rows(int *count) {
    *count = ROW_COUNT;
    return ROWS;
}

uint32_t check_random(check_ctx *ctx) {
    ctx->random ^= ctx->random << 13;
    ctx->random ^= ctx->random >> 7;
    ctx->random ^= ctx->random << 17;
    return (uint32_t)(ctx->random >> 32);
}

int32_t check_range(check_ctx *ctx, int32_t low, int32_t high) {
    return low + (int32_t)(check_random(ctx) % ((uint32_t)(high - low) + 1u));
}

float check_real(check_ctx *ctx, float low, float high) {
    return low + (high - low) * ((float)(check_random(ctx) >> 8) * (1.0f / 16777216.0f));
}

void check_fill_bytes(check_ctx *ctx, void *data, size_t bytes) {
    for (size_t i = 0; i < bytes; i++) ((uint8_t *)data)[i] = (uint8_t)check_random(ctx);
}

void check_fill_range(check_ctx *ctx, int8_t *data, size_t count, int32_t low, int32_t high) {
    for (size_t i = 0; i < count; i++) data[i] = (int8_t)check_range(ctx, low, high);
}

void check_fill_floats(check_ctx *ctx, float *data, size_t count, float low, float high) {
    for (size_t i = 0; i < count; i++) data[i] = check_real(ctx, low, high);
}

void *check_operand_add(check_case *c, int index, check_kind kind, size_t bytes, size_t element) {
    guarded_new(&memory[index], bytes, element);
    c->operands[index] = (check_operand){kind, bytes, element, memory[index].data};
    return memory[index].data;
}

void *check_alloc(check_case *c, int index, size_t bytes) {
    guarded_free(&memory[index]);
    guarded_new(&memory[index], bytes, 64);
    c->operands[index] = (check_operand){CHECK_PACKED, bytes, 64, memory[index].data};
    return memory[index].data;
}

static int is_output(check_kind kind) { return kind >= CHECK_EXACT; }

static uint8_t *copy_of(const check_operand *o) {
    uint8_t *copy = malloc(o->bytes ? o->bytes : 1);
    if (!copy) abort();
    if (o->bytes) memcpy(copy, o->data, o->bytes);
    return copy;
}

static void fail(check_ctx *ctx, const check_case *c, const char *kernel, const char *what) {
    ctx->failures++;
    if (ctx->failures <= 20) printf("FAIL %s: %s; %s\n", kernel, what, c->text);
}

static void differ(check_ctx *ctx, const check_case *c, const char *kernel, int index, size_t at, double got, double want) {
    char what[120];
    snprintf(what, sizeof what, "operand %d differs from scalar at %zu: %.9g, not %.9g", index, at, got, want);
    fail(ctx, c, kernel, what);
}

static void compare_floats(check_ctx *ctx, const check_case *c, const char *kernel, int index) {
    const float *got = c->operands[index].data;
    const float *want = (const float *)(const void *)expected[index];
    const float scale = c->scale > 0 ? c->scale : 1.0f;
    for (size_t i = 0; i < c->operands[index].bytes / sizeof(float); i++) {
        const float limit = c->tolerance * fmaxf(scale, fabsf(want[i]));
        const int same = got[i] == want[i] || fabsf(got[i] - want[i]) <= limit || (isnan(got[i]) && isnan(want[i]));
        if (!same) { differ(ctx, c, kernel, index, i, (double)got[i], (double)want[i]); return; }
    }
}

static void compare_bytes(check_ctx *ctx, const check_case *c, const char *kernel, int index, const uint8_t *want) {
    const uint8_t *got = c->operands[index].data;
    for (size_t i = 0; i < c->operands[index].bytes; i++)
        if (got[i] != want[i]) { differ(ctx, c, kernel, index, i, (int8_t)got[i], (int8_t)want[i]); return; }
}

static void compare_all(check_ctx *ctx, const check_case *c, const char *kernel, int against_scalar) {
    for (int i = 0; i < CHECK_OPERANDS; i++) {
        const check_kind kind = c->operands[i].kind;
        if (kind == CHECK_ABSENT) continue;
        if (!guarded_intact(&memory[i])) {
            char what[64];
            snprintf(what, sizeof what, "guard words of operand %d overwritten", i);
            fail(ctx, c, kernel, what);
        }
        if (kind == CHECK_INPUT) compare_bytes(ctx, c, kernel, i, initial[i]);
        if (!is_output(kind) || !against_scalar) continue;
        if (kind == CHECK_FLOAT || kind == CHECK_FLOAT_STATE) compare_floats(ctx, c, kernel, i);
        else compare_bytes(ctx, c, kernel, i, expected[i]);
    }
}

static void call(const check_case *c, const edged_kernel_row *row, uint32_t begin, uint32_t end, void *scratch, int fill) {
    void *addresses[CHECK_OPERANDS];
    for (int i = 0; i < CHECK_OPERANDS; i++) addresses[i] = c->operands[i].data;
    if (scratch) memset(scratch, fill, c->scratch);
    const edged_task task = {begin, end, scratch};
    row->function(c->params, addresses, &task);
}

/* Rows for microcontrollers read the shifts of conv_s8, fc_s8 and dw_s8 (operand 5 of each) as s8. */
static void narrow_shifts(check_case *c) {
    const size_t count = c->operands[5].bytes / sizeof(int32_t);
    int32_t *wide = (int32_t *)(void *)copy_of(&c->operands[5]);
    int8_t *shifts = check_alloc(c, 5, count);
    for (size_t i = 0; i < count; i++) shifts[i] = (int8_t)wide[i];
    free(wide);
}

/* One row: whole, then (round 1) in two parts, the later first. */
static void run_row(check_ctx *ctx, check_case *c, const edged_kernel_row *row, int reference) {
    if (c->pack) c->pack(ctx, c, row);
    if (row->arch & (ARCH_DSP | ARCH_MVE)) narrow_shifts(c);
    for (int round = 0; round < 2; round++) {
        guarded scratch = {0};
        if (c->scratch) guarded_new(&scratch, c->scratch, 64);
        for (int i = 0; i < CHECK_OPERANDS; i++) {
            const check_kind kind = c->operands[i].kind;
            if (kind == CHECK_EXACT || kind == CHECK_FLOAT) memset(c->operands[i].data, 0x77, c->operands[i].bytes);
            if (kind == CHECK_STATE || kind == CHECK_FLOAT_STATE) memcpy(c->operands[i].data, initial[i], c->operands[i].bytes);
        }
        if (round == 0) {
            call(c, row, 0, c->units, scratch.data, 0x5A);
        } else {
            const uint32_t middle = c->units > 1 ? (uint32_t)check_range(ctx, 0, (int32_t)c->units) : c->units;
            call(c, row, middle, c->units, scratch.data, 0xC3);
            call(c, row, 0, middle, scratch.data, 0x7F);
        }
        ctx->runs++;
        compare_all(ctx, c, row->name, !reference || round);
        if (c->scratch && !guarded_intact(&scratch)) fail(ctx, c, row->name, "wrote outside its scratch");
        guarded_free(&scratch);
        for (int i = 0; reference && !round && i < CHECK_OPERANDS; i++)
            if (is_output(c->operands[i].kind)) expected[i] = copy_of(&c->operands[i]);
    }
}

static void release(check_case *c) {
    for (int i = 0; i < CHECK_OPERANDS; i++) {
        guarded_free(&memory[i]);
        free(initial[i]);
        free(expected[i]);
        initial[i] = expected[i] = NULL;
        c->operands[i] = (check_operand){0};
    }
}

int check_run(check_ctx *ctx, check_case *c) {
    const int before = ctx->failures;
    const edged_kernel_row *scalar = NULL;
    for (int i = 0; i < ROW_COUNT; i++)
        if (!strcmp(ROWS[i].op, c->op)) scalar = &ROWS[i];
    if (!scalar || scalar->arch != ARCH_NONE) {
        printf("FAIL %s: the last row of its list is not a scalar one\n", c->op);
        ctx->failures++;
        release(c);
        return 1;
    }
#if defined(__arm__) /* a board is slow: nothing there is run against itself */
    int others = 0;
    for (int i = 0; i < ROW_COUNT; i++) others += &ROWS[i] != scalar && !strcmp(ROWS[i].op, c->op);
    if (!others) {
        release(c);
        return 0;
    }
#endif
    ctx->cases++;
    check_now.text = c->text;
    for (int i = 0; i < CHECK_OPERANDS; i++)
        if (c->operands[i].kind != CHECK_ABSENT) initial[i] = copy_of(&c->operands[i]);
    check_now.kernel = scalar->name;
    run_row(ctx, c, scalar, 1);
    for (int i = 0; i < ROW_COUNT; i++) {
        if (strcmp(ROWS[i].op, c->op) || &ROWS[i] == scalar) continue;
        if (ROWS[i].arch & ~ctx->arch) { ctx->skipped |= ROWS[i].arch & ~ctx->arch; continue; }
        check_now.kernel = ROWS[i].name;
        run_row(ctx, c, &ROWS[i], 0);
    }
    release(c);
    return ctx->failures != before;
}
