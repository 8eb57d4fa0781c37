/* Packing of weights for the check program and the bench. */
#include "gemm_pack.h"

#include <string.h>

int32_t gemm_activation_bias(const edged_kernel_row *row) {
    return row->arch & ARCH_VNNI ? 128 : 0;
}

static int32_t blocks_of(const gemm_shape *s, const edged_kernel_row *row) { return (s->channels + row->nr - 1) / row->nr; }

static int32_t groups_of(const gemm_shape *s, const edged_kernel_row *row) { return (s->length + row->kr - 1) / row->kr; }

int32_t gemm_padded_channels(const gemm_shape *s, const edged_kernel_row *row) { return blocks_of(s, row) * row->nr; }

int64_t gemm_packed_elements(const gemm_shape *s, const edged_kernel_row *row) {
    const int32_t extra = s->weight_zero != 0 && row->nr > 1 ? 1 : 0;
    return (int64_t)(blocks_of(s, row) + extra) * s->segments * groups_of(s, row) * row->nr * row->kr;
}

/* Index into the plain weights of one packed element, or -1 for padding. */
static int64_t source(const gemm_shape *s, const edged_kernel_row *row, int64_t index, int64_t *depth) {
    const int64_t kr = row->kr, nr = row->nr, groups = groups_of(s, row);
    const int64_t k_in = index % kr, n_in = index / kr % nr, group = index / (kr * nr) % groups;
    const int64_t segment = index / (kr * nr * groups) % s->segments, block = index / (kr * nr * groups * s->segments);
    const int64_t within = group * kr + k_in, channel = block * nr + n_in;
    *depth = within < s->length ? segment * s->length + within : -1;
    return *depth < 0 || channel >= s->channels ? -1 : channel * s->segments * s->length + *depth;
}

void gemm_pack_s8(const gemm_shape *s, const edged_kernel_row *row, const int8_t *plain, int8_t *packed) {
    const int64_t total = gemm_packed_elements(s, row);
    const int64_t ones = (int64_t)blocks_of(s, row) * s->segments * groups_of(s, row) * row->nr * row->kr;
    for (int64_t i = 0; i < total; i++) {
        int64_t depth;
        const int64_t from = source(s, row, i, &depth);
        packed[i] = (int8_t)(i >= ones ? depth >= 0 : from >= 0 ? plain[from] : 0);
    }
}

void gemm_pack_f32(const gemm_shape *s, const edged_kernel_row *row, const float *plain, float *packed) {
    const int64_t total = gemm_packed_elements(s, row);
    for (int64_t i = 0; i < total; i++) {
        int64_t depth;
        const int64_t from = source(s, row, i, &depth);
        packed[i] = from >= 0 ? plain[from] : 0.0f;
    }
}

void gemm_fold_bias(const gemm_shape *s, const edged_kernel_row *row, const int8_t *plain, int32_t input_zero,
                    const int32_t *bias, int32_t *folded) {
    const int64_t depth = (int64_t)s->segments * s->length;
    const int32_t padded = gemm_padded_channels(s, row);
    memset(folded, 0, (size_t)padded * sizeof *folded);
    for (int32_t n = 0; n < s->channels; n++) {
        uint32_t sum = 0;
        for (int64_t k = 0; k < depth; k++) sum += (uint32_t)(plain[n * depth + k] - s->weight_zero);
        folded[n] = (int32_t)((uint32_t)bias[n] - (uint32_t)(input_zero + gemm_activation_bias(row)) * sum);
    }
}

static size_t line(size_t bytes) { return (bytes + 63) / 64 * 64; }

/* Elements of a band's copy. */
static size_t copied(const edged_conv_s8_params *p) {
    const int32_t height = (p->band - 1) * p->stride_h + (p->kernel_h - 1) * p->dilation_h + 1;
    const int32_t width = (p->out_w - 1) * p->stride_w + (p->kernel_w - 1) * p->dilation_w + 1;
    return (size_t)(p->segments == 1 ? p->band * p->out_w * p->kernel_h * p->kernel_w * p->in_c : height * width * p->in_c);
}

/* Bytes of one copied int8 activation: rows that take single or pairs of depth widen it. */
static size_t width(const edged_kernel_row *row) { return row->kr <= 2 ? 2 : 1; }

size_t gemm_conv_s8_scratch(const edged_conv_s8_params *p, const edged_kernel_row *row) {
    const size_t pixels = (size_t)(p->band * p->out_w);
    return (size_t)(row->mr > 8 ? 3072 : 1536) + line(4 * (size_t)p->segments) + 2 * line(4 * pixels) +
           line(width(row) * copied(p)) + 64;
}

size_t gemm_conv_f32_scratch(const edged_conv_f32_params *p) {
    edged_conv_s8_params same;
    memcpy(&same, p, offsetof(edged_conv_f32_params, act_min));
    return line(4 * (size_t)p->segments) + 4 * copied(&same);
}

size_t gemm_fc_s8_scratch(const edged_fc_s8_params *p, const edged_kernel_row *row) {
    return 1536 + 64 + 2 * line(4 * (size_t)p->rows) + (size_t)p->rows * line(width(row) * (size_t)p->depth) + 64;
}
