/* Speed of the depthwise rows: best of many runs on shapes of real models, GMAC/s per row of the list. Not a test; prints a table.
 * Build: make bench-depthwise. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "abi.h"
#include "depthwise_pack.h"

#define KERNEL(arch, op, function, mr, nr, kr) edged_kernel function;
#define OPPARAMS(op, name)
#include "depthwise/kernels.inc"
#undef KERNEL
static const edged_kernel_row rows[] = {
#define KERNEL(arch, op, function, mr, nr, kr) {arch, #op, #function, function, mr, nr, kr},
#include "depthwise/kernels.inc"
};

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double best(const edged_kernel_row *row, const void *params, void *const *operands, const edged_task *task) {
    double least = 1e9;
    const double until = now() + 0.08;
    while (now() < until) {
        const double start = now();
        for (int i = 0; i < 5; i++) row->function(params, operands, task);
        const double took = (now() - start) / 5;
        least = took < least ? took : least;
    }
    return least;
}

static void *bytes(size_t n) {
    uint8_t *data = aligned_alloc(64, (n + 127) / 64 * 64);
    for (size_t i = 0; i < n; i++) data[i] = (uint8_t)(rand() >> 7);
    return data;
}

typedef struct shape {
    int32_t size, channels, kernel, stride;
} shape;

static void bench_s8(const shape *s, const edged_kernel_row *row) {
    const int32_t out = (s->size + s->stride - 1) / s->stride, pad = ((out - 1) * s->stride + s->kernel - s->size) / 2;
    depthwise_s8 d = {.p = {.in_h = s->size, .in_w = s->size, .channels = s->channels, .out_h = out, .out_w = out, .multiplier = 1,
                            .kernel_h = s->kernel, .kernel_w = s->kernel, .stride_h = s->stride, .stride_w = s->stride,
                            .dilation_h = 1, .dilation_w = 1, .pad_top = pad, .pad_left = pad, .input_zero = -5,
                            .output_zero = 3, .act_min = -128, .act_max = 127}};
    depthwise_choose(&d.p, 32768);
    const size_t taps = (size_t)(s->kernel * s->kernel), lanes = (size_t)depthwise_lanes(&d.p);
    int8_t *weights = bytes(taps * (size_t)s->channels), *packed = bytes(depthwise_packed_bytes(&d.p));
    int32_t *scales = malloc(lanes * 6 * 4);
    for (size_t i = 0; i < lanes; i++) {
        scales[i] = rand() % 1000 - 500;
        scales[lanes + i] = (1 << 30) + rand() % (1 << 30);
        scales[2 * lanes + i] = -7 - rand() % 3;
    }
    d.weights = weights, d.bias = scales, d.multiplier = scales + lanes, d.shift = scales + 2 * lanes;
    depthwise_pack(&d, packed);
    depthwise_pack_scales(&d, scales + 3 * lanes, scales + 4 * lanes, scales + 5 * lanes);
    const size_t in_bytes = (size_t)(s->size * s->size * s->channels), out_bytes = (size_t)(out * out * s->channels);
    void *in = bytes(in_bytes), *result = bytes(out_bytes), *scratch = bytes(depthwise_scratch(&d.p)), *want = bytes(out_bytes);
    const edged_task task = {0, (uint32_t)out, scratch};
    void *fast[] = {result, in, packed, scales + 3 * lanes, scales + 4 * lanes, scales + 5 * lanes};
    void *const plain[] = {want, in, weights, scales, scales + lanes, scales + 2 * lanes};
    if (row->kr == 2) {
        int32_t *own = scales + 3 * lanes;
        free(packed);
        packed = bytes(depthwise_pair_bytes(&d.p));
        fast[2] = packed;
        depthwise_pack_pairs(&d, (int16_t *)(void *)packed, own, own + lanes, own + 2 * lanes);
    }
    const double took = best(row, &d.p, row->kr == 1 ? plain : fast, &task);
    dw_s8_scalar(&d.p, plain, &task);
    printf("%-20s %3dx%3dx%4d %dx%d/%d  %8.2f us %7.1f GMAC/s %s\n", row->name, s->size, s->size, s->channels, s->kernel, s->kernel,
           s->stride, took * 1e6, (double)out_bytes * (double)taps / took * 1e-9,
           row->kr == 1 || memcmp(result, want, out_bytes) == 0 ? "" : "WRONG");
    free(weights), free(packed), free(scales), free(in), free(result), free(scratch), free(want);
}

static void bench_f32(const shape *s, const edged_kernel_row *row) {
    const int32_t out = (s->size + s->stride - 1) / s->stride, pad = ((out - 1) * s->stride + s->kernel - s->size) / 2;
    edged_depthwise_f32_params p = {.in_h = s->size, .in_w = s->size, .channels = s->channels, .out_h = out, .out_w = out,
                                    .multiplier = 1, .kernel_h = s->kernel, .kernel_w = s->kernel, .stride_h = s->stride,
                                    .stride_w = s->stride, .dilation_h = 1, .dilation_w = 1, .pad_top = pad, .pad_left = pad,
                                    .act_min = 0, .act_max = 6};
    p.block = depthwise_block_f32(&p);
    const size_t taps = (size_t)(s->kernel * s->kernel), in_n = (size_t)(s->size * s->size * s->channels);
    const size_t out_n = (size_t)(out * out * s->channels);
    float *in = calloc(in_n, 4), *weights = calloc(taps * (size_t)s->channels, 4), *bias = calloc((size_t)s->channels, 4);
    void *result = bytes(out_n * 4);
    void *const operands[] = {result, in, weights, bias};
    void *scratch = bytes(depthwise_scratch_f32(&p));
    const edged_task task = {0, (uint32_t)out, scratch};
    const double took = best(row, &p, operands, &task);
    printf("%-20s %3dx%3dx%4d %dx%d/%d  %8.2f us %7.1f GMAC/s\n", row->name, s->size, s->size, s->channels, s->kernel, s->kernel,
           s->stride, took * 1e6, (double)out_n * (double)taps / took * 1e-9);
    free(in), free(weights), free(bias), free(result), free(scratch);
}

int main(int argc, char **argv) {
    static const shape shapes[] = {{5, 64, 3, 1}, {6, 128, 3, 1},  {12, 64, 3, 1}, {24, 32, 3, 1},  {48, 8, 3, 1},   {56, 128, 3, 1}, {112, 32, 3, 1},
                                   {28, 256, 3, 1}, {14, 512, 3, 1}, {7, 1024, 3, 1}, {48, 16, 3, 2}, {112, 64, 3, 2}, {112, 96, 3, 2},
                                   {56, 144, 3, 1}, {56, 24, 3, 1},  {28, 240, 5, 1}, {14, 672, 5, 1}, {28, 240, 5, 2}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
            if (argc > 1 && strstr(rows[k].name, argv[1]) == NULL) continue;
            if (strcmp(rows[k].op, "dw_s8") == 0) bench_s8(&shapes[i], &rows[k]);
            if (strcmp(rows[k].op, "dw_f32") == 0) bench_f32(&shapes[i], &rows[k]);
        }
    }
    return 0;
}
