/* Conversions against scalar. */
#include <stdio.h>
#include <string.h>

#include "check.h"
#include "convert/types.h"

typedef union any_params {
    edged_quantise_params quantise;
    edged_dequantise_params dequantise;
    edged_dequantise_channels_params channels;
    edged_requantise_params requantise;
    edged_cast_params cast;
} any_params;

/* in 0: floats. */
static int check_one(check_ctx *ctx, const char *op, const any_params *p, size_t in, size_t out, int real) {
    const size_t n = (size_t)check_range(ctx, 1, 300);
    check_case c = {.op = op, .params = p, .units = (uint32_t)n, .tolerance = 1e-6f, .scale = 100.0f};
    snprintf(c.text, sizeof c.text, "%zu elements", n);
    check_operand_add(&c, 0, real ? CHECK_FLOAT : CHECK_EXACT, n * out, out);
    void *from = check_operand_add(&c, 1, CHECK_INPUT, n * (in ? in : 4), in ? in : 4);
    if (in == 0) {
        check_fill_floats(ctx, from, n, -400, 400);
    } else {
        check_fill_bytes(ctx, from, n * in);
    }
    if (strcmp(op, "dequantise_channels_s8") == 0) {
        const size_t count = (size_t)p->channels.channels;
        check_fill_floats(ctx, check_operand_add(&c, 2, CHECK_INPUT, count * 4, 4), count, 0.1f, 1);
        memset(check_operand_add(&c, 3, CHECK_INPUT, count * 4, 4), 0, count * 4);
    }
    return check_run(ctx, &c);
}

static int check_casts(check_ctx *ctx) {
    static const struct {
        const char *op;
        size_t bytes;
    } from[] = {{"cast_s8", 1}, {"cast_u8", 1}, {"cast_s16", 2}, {"cast_u16", 2}, {"cast_s32", 4}, {"cast_u32", 4}, {"cast_s64", 8},
                {"cast_f32", 0}, {"cast_bool", 1}};
    static const size_t bytes[] = {1, 1, 2, 2, 4, 4, 8, 4, 8, 1};
    int bad = 0;
    for (size_t i = 0; i < sizeof from / sizeof *from; i++) {
        for (int32_t to = CAST_S8; to <= CAST_BOOL; to++) {
            const any_params p = {.cast = {.to = to}};
            bad |= check_one(ctx, from[i].op, &p, from[i].bytes, bytes[to], 0);
        }
    }
    return bad;
}

static int check_scales(check_ctx *ctx) {
    const any_params q8 = {.quantise = {0.37f, -3, -128, 127}}, q16 = {.quantise = {0.01f, 0, -32768, 32767}};
    const any_params d = {.dequantise = {0.37f, -3}}, channels = {.channels = {check_range(ctx, 1, 9), check_range(ctx, 1, 9)}};
    const int32_t multiplier = check_range(ctx, 1 << 30, INT32_MAX), shift = check_range(ctx, -9, 3);
    const any_params r8 = {.requantise = {4, multiplier, shift, -9, -128, 127}};
    const any_params r16 = {.requantise = {4, multiplier, shift, -9, -32768, 32767}};
    const any_params r32 = {.requantise = {4, multiplier, shift, -9, INT32_MIN, INT32_MAX}};
    int bad = check_one(ctx, "xor80", &q8, 1, 1, 0) | check_one(ctx, "quantise_s8", &q8, 0, 1, 0);
    bad |= check_one(ctx, "quantise_s16", &q16, 0, 2, 0) | check_one(ctx, "dequantise_s8", &d, 1, 4, 1);
    bad |= check_one(ctx, "dequantise_s16", &d, 2, 4, 1) | check_one(ctx, "dequantise_s32", &d, 4, 4, 1);
    bad |= check_one(ctx, "dequantise_channels_s8", &channels, 1, 4, 1);
    bad |= check_one(ctx, "requantise_s8_s16", &r16, 1, 2, 0) | check_one(ctx, "requantise_s8_s32", &r32, 1, 4, 0);
    bad |= check_one(ctx, "requantise_s16_s8", &r8, 2, 1, 0) | check_one(ctx, "requantise_s16_s16", &r16, 2, 2, 0);
    bad |= check_one(ctx, "requantise_s16_s32", &r32, 2, 4, 0) | check_one(ctx, "requantise_s32_s8", &r8, 4, 1, 0);
    bad |= check_one(ctx, "requantise_s32_s16", &r16, 4, 2, 0) | check_one(ctx, "requantise_s32_s32", &r32, 4, 4, 0);
    return bad;
}

static int check_fake(check_ctx *ctx) {
    const edged_fake_quant_params p = {-3.0f, 9.75f, 0.05f, 20.0f};
    check_case c = {.op = "fake_quant", .params = &p, .units = (uint32_t)check_range(ctx, 1, 99), .tolerance = 1e-6f};
    check_operand_add(&c, 0, CHECK_FLOAT, 4 * c.units, 4);
    check_fill_floats(ctx, check_operand_add(&c, 1, CHECK_INPUT, 4 * c.units, 4), c.units, -9, 12);
    return check_run(ctx, &c);
}

int check_convert(check_ctx *ctx) {
    int bad = 0;
    for (int i = 0; i < 6 * ctx->repeats; i++) bad |= check_casts(ctx) | check_scales(ctx) | check_fake(ctx);
    return bad;
}
