/* Micro benchmark of the gemm family: GMAC/s per layer shape and row, and the share of this core's measured peak.
 *
 * bench_gemm [OP [SUBSTRING]] [--rows all]: best usable row of each op, or all of them; shapes whose name contains SUBSTRING. Pin
 * it (taskset -c 1); times are the least of many. EDGED_ARCH_MASK limits the instruction sets.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench_peak.h"
#include "check.h"
#include "cpu.h"
#include "gemm_pack.h"

typedef struct layer {
    const char *name;
    int32_t in_h, in_w, in_c, out_c, kernel_h, kernel_w, stride, same;
} layer;

/* Layers of MLPerf Tiny, MobileNet v1/v2 and ResNet-50. Kernel 0: fully connected in_c -> out_c. */
static const layer LAYERS[] = {
    {"kws.first", 49, 10, 1, 64, 10, 4, 2, 1},    {"kws.pw", 25, 5, 64, 64, 1, 1, 1, 1},
    {"ic.first", 32, 32, 3, 16, 3, 3, 1, 1},      {"ic.3x3.16", 32, 32, 16, 16, 3, 3, 1, 1},
    {"ic.3x3.32s2", 32, 32, 16, 32, 3, 3, 2, 1},  {"ic.3x3.32", 16, 16, 32, 32, 3, 3, 1, 1},
    {"ic.3x3.64", 8, 8, 64, 64, 3, 3, 1, 1},      {"ic.1x1.s2", 16, 16, 32, 64, 1, 1, 2, 1},
    {"vww.first", 96, 96, 3, 8, 3, 3, 2, 1},      {"vww.pw.8-16", 48, 48, 8, 16, 1, 1, 1, 1},
    {"vww.pw.16-32", 24, 24, 16, 32, 1, 1, 1, 1}, {"vww.pw.32-32", 24, 24, 32, 32, 1, 1, 1, 1},
    {"vww.pw.64-64", 12, 12, 64, 64, 1, 1, 1, 1}, {"vww.pw.128", 6, 6, 128, 128, 1, 1, 1, 1},
    {"vww.pw.256", 3, 3, 256, 256, 1, 1, 1, 1},   {"mbv1.first", 224, 224, 3, 32, 3, 3, 2, 1},
    {"mbv1.pw.32-64", 112, 112, 32, 64, 1, 1, 1, 1}, {"mbv1.pw.128", 56, 56, 128, 128, 1, 1, 1, 1},
    {"mbv1.pw.512", 14, 14, 512, 512, 1, 1, 1, 1},   {"mbv1.pw.1024", 7, 7, 1024, 1024, 1, 1, 1, 1},
    {"mbv2.pw.16-96", 112, 112, 16, 96, 1, 1, 1, 1}, {"mbv2.pw.144-24", 56, 56, 144, 24, 1, 1, 1, 1},
    {"mbv2.pw.24-144", 56, 56, 24, 144, 1, 1, 1, 1}, {"mbv2.pw.320-1280", 7, 7, 320, 1280, 1, 1, 1, 1},
    {"resnet.first", 224, 224, 3, 64, 7, 7, 2, 1},   {"resnet.3x3.64", 56, 56, 64, 64, 3, 3, 1, 1},
    {"resnet.3x3.128", 28, 28, 128, 128, 3, 3, 1, 1}, {"resnet.3x3.256", 14, 14, 256, 256, 3, 3, 1, 1},
    {"resnet.3x3.512", 7, 7, 512, 512, 3, 3, 1, 1},  {"resnet.pw.64-256", 56, 56, 64, 256, 1, 1, 1, 1},
    {"resnet.pw.1024-256", 14, 14, 1024, 256, 1, 1, 1, 1},
    {"fc.640-128", 1, 1, 640, 128, 0, 0, 0, 0},      {"fc.128-128", 1, 1, 128, 128, 0, 0, 0, 0},
    {"fc.128-8", 1, 1, 128, 8, 0, 0, 0, 0},          {"fc.8-128", 1, 1, 8, 128, 0, 0, 0, 0},
    {"fc.128-640", 1, 1, 128, 640, 0, 0, 0, 0},      {"fc.1024-1001", 1, 1, 1024, 1001, 0, 0, 0, 0},
};

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void *fresh(size_t bytes) {
    void *p = aligned_alloc(64, (bytes + 63) / 64 * 64 + 64);
    if (!p) abort();
    static uint32_t random = 12345;
    for (size_t i = 0; i < bytes; i++) ((uint8_t *)p)[i] = (uint8_t)((random = random * 1664525u + 1013904223u) >> 24);
    return p;
}

/* Least seconds of one call over about 30 ms. */
static double least(edged_kernel *kernel, const void *params, void *const *operands, const edged_task *task) {
    kernel(params, operands, task);
    double best = 1e9, begin = now();
    kernel(params, operands, task);
    const int inner = (int)(2e-5 / (now() - begin + 1e-9)) + 1;
    for (const double stop = begin + (getenv("BENCH_LONG") ? 1.0 : 0.03); now() < stop;) {
        const double start = now();
        for (int i = 0; i < inner; i++) kernel(params, operands, task);
        const double each = (now() - start) / inner;
        if (each < best) best = each;
    }
    return best;
}

typedef struct work {
    edged_conv_s8_params conv;
    int32_t input, output, depth;
    uint32_t units;
} work;

static int32_t out_of(int32_t in, int32_t kernel, int32_t stride, int32_t same) {
    return same ? (in + stride - 1) / stride : (in - kernel) / stride + 1;
}

static int32_t pad_of(int32_t in, int32_t out, int32_t kernel, int32_t stride) {
    const int32_t total = (out - 1) * stride + kernel - in;
    return total > 0 ? total / 2 : 0;
}

static work plan(const layer *l) {
    work w = {0};
    edged_conv_s8_params *p = &w.conv;
    p->in_h = l->in_h; p->in_w = l->in_w; p->in_c = p->in_pitch = l->in_c;
    p->out_h = out_of(l->in_h, l->kernel_h, l->stride, l->same);
    p->out_w = out_of(l->in_w, l->kernel_w, l->stride, l->same);
    p->out_c = p->out_pitch = p->columns = l->out_c;
    p->kernel_h = l->kernel_h; p->kernel_w = l->kernel_w;
    p->stride_h = p->stride_w = l->stride;
    p->dilation_h = p->dilation_w = 1;
    p->pad_top = pad_of(p->in_h, p->out_h, p->kernel_h, l->stride);
    p->pad_left = pad_of(p->in_w, p->out_w, p->kernel_w, l->stride);
    p->segments = p->kernel_h == 1 || getenv("BENCH_IM2COL") ? 1 : p->kernel_h;
    w.depth = p->kernel_h * p->kernel_w * p->in_c;
    const char *kb = getenv("BENCH_BAND_KB");
    const int32_t row_bytes = p->segments == 1 ? p->out_w * w.depth : p->in_w * p->in_c * l->stride;
    p->band = (kb ? atoi(kb) : 32) * 1024 / row_bytes;
    if (p->band < 1) p->band = 1;
    if (p->band > p->out_h) p->band = p->out_h;
    const int32_t bands = (p->out_h + p->band - 1) / p->band;
    p->band = (p->out_h + bands - 1) / bands;
    p->act_min = -128; p->act_max = 127;
    w.units = (uint32_t)((p->out_h + p->band - 1) / p->band);
    w.input = p->in_h * p->in_w * p->in_c;
    w.output = p->out_h * p->out_w * p->out_c;
    return w;
}

static void report(const layer *l, const edged_kernel_row *row, double seconds, double macs, double peak) {
    printf("%-20s %-26s %9.2f us %7.1f GMAC/s %5.1f %%\n", l->name, row->name, seconds * 1e6, macs / seconds * 1e-9,
           100 * macs / seconds / peak);
}

static void bench_s8(const layer *l, const edged_kernel_row *row, double peak) {
    const int fc = l->kernel_h == 0;
    layer as = *l;
    if (fc) as.kernel_h = as.kernel_w = as.stride = as.same = 1;
    const work w = plan(&as);
    const edged_fc_s8_params f = {
        .rows = 1, .depth = l->in_c, .out_c = l->out_c, .columns = l->out_c, .act_min = -128, .act_max = 127};
    const gemm_shape s = {l->out_c, w.conv.segments, w.depth / w.conv.segments, 0};
    const size_t padded = (size_t)gemm_padded_channels(&s, row), packed = (size_t)gemm_packed_elements(&s, row);
    int8_t *plain = fresh((size_t)(l->out_c * w.depth));
    int32_t *multiplier = fresh(padded * 4), *shift = fresh(padded * 4);
    for (size_t n = 0; n < padded; n++) { multiplier[n] = 1500000000 + (int32_t)n * 12347; shift[n] = -9; }
    void *operands[] = {fresh((size_t)w.output), fresh((size_t)w.input), fresh(packed), fresh(padded * 4), multiplier, shift, NULL};
    for (size_t n = 0; n < padded; n++) ((int32_t *)operands[3])[n] = (int32_t)n * 97 - 3000;
    gemm_pack_s8(&s, row, plain, operands[2]);
    const size_t scratch = row->mr == 1 ? (size_t)w.depth : fc ? gemm_fc_s8_scratch(&f, row) : gemm_conv_s8_scratch(&w.conv, row);
    const edged_task task = {0, fc ? 1 : w.units, fresh(scratch)};
    const double t = least(row->function, fc ? (const void *)&f : &w.conv, operands, &task);
    report(l, row, t, (double)w.conv.out_h * w.conv.out_w * w.depth * l->out_c, peak);
    for (int i = 0; i < 4; i++) free(operands[i]);
    free(multiplier); free(shift); free(plain); free(task.scratch);
}

static void bench_f32(const layer *l, const edged_kernel_row *row, double peak) {
    const int fc = l->kernel_h == 0;
    layer as = *l;
    if (fc) as.kernel_h = as.kernel_w = as.stride = as.same = 1;
    const work w = plan(&as);
    edged_conv_f32_params p;
    memcpy(&p, &w.conv, offsetof(edged_conv_f32_params, act_min));
    p.act_min = 0; p.act_max = 6;
    const edged_fc_f32_params f = {.rows = 1, .depth = l->in_c, .out_c = l->out_c, .columns = l->out_c, .act_max = 6};
    const gemm_shape s = {l->out_c, w.conv.segments, w.depth / w.conv.segments, 0};
    const size_t padded = (size_t)gemm_padded_channels(&s, row), packed = (size_t)gemm_packed_elements(&s, row);
    void *operands[] = {fresh((size_t)w.output * 4), fresh((size_t)w.input * 4), fresh(packed * 4), fresh(padded * 4), NULL};
    for (int i = 1; i < 4; i++) {
        const size_t count = i == 1 ? (size_t)w.input : i == 2 ? packed : padded;
        for (size_t k = 0; k < count; k++) ((float *)operands[i])[k] = (float)(k % 17) * 0.01f;
    }
    const edged_task task = {0, fc ? 1 : w.units, fresh(gemm_conv_f32_scratch(&p))};
    const double t = least(row->function, fc ? (const void *)&f : &p, operands, &task);
    report(l, row, t, (double)w.conv.out_h * w.conv.out_w * w.depth * l->out_c, peak);
    for (int i = 0; i < 4; i++) free(operands[i]);
    free(task.scratch);
}

static void bench_op(const char *op, const char *part, int all, uint32_t arch) {
    int count;
    const edged_kernel_row *rows = check_rows(&count);
    const int s8 = strstr(op, "_s8") != NULL, fc = !strncmp(op, "fc", 2);
    const double peak = bench_peak(s8, arch);
    printf("%s: peak %.0f GMAC/s\n", op, peak * 1e-9);
    for (size_t i = 0; i < sizeof LAYERS / sizeof *LAYERS; i++) {
        if (fc != (LAYERS[i].kernel_h == 0) || !strstr(LAYERS[i].name, part)) continue;
        for (int r = 0; r < count; r++) {
            if (strcmp(rows[r].op, op) || (rows[r].arch & ~arch)) continue;
            (s8 ? bench_s8 : bench_f32)(&LAYERS[i], &rows[r], peak);
            if (!all) break;
        }
    }
}

int main(int argc, char **argv) {
    static const char *const OPS[] = {"conv_s8", "conv_f32", "fc_s8", "fc_f32"};
    const char *mask = getenv("EDGED_ARCH_MASK");
    const uint32_t arch = cpu_arch() & (mask && *mask ? (uint32_t)strtoul(mask, NULL, 0) : ~0u);
    const int all = argc > 2 && !strcmp(argv[argc - 1], "all");
    const int words = all ? argc - 2 : argc;
    for (size_t i = 0; i < sizeof OPS / sizeof *OPS; i++)
        if (words < 2 || !strcmp(argv[1], OPS[i])) bench_op(OPS[i], words > 2 ? argv[2] : "", all, arch);
    return 0;
}
