/* int8 convolution on AVX2. A unit copies the input rows that it needs as int16, then walks channel blocks and rows of pixels. */
#include "../abi.h"
#include "finish_s8_avx2.h"
#include "tile_s8_avx2.h"

static void copy_wide(int16_t *to, const int8_t *from, ptrdiff_t n) {
    ptrdiff_t i = 0;
    for (; i + 16 <= n; i += 16) {
        const __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)(from + i));
        _mm256_storeu_si256((__m256i *)(void *)(to + i), _mm256_cvtepi8_epi16(bytes));
    }
    for (; i < n; i++) to[i] = from[i];
}

static void fill_wide(int16_t *to, ptrdiff_t n, int value) {
    for (ptrdiff_t i = 0; i < n; i++) to[i] = (int16_t)value;
}

#define COPY(to, from, n) copy_wide(to, from, n)
#define FILL(to, n) fill_wide(to, n, zero)
#include "conv_unit_s8.inc"

typedef struct target {
    int8_t *out;
    const int8_t *residual;
    const int32_t *multiplier, *shift;
} target;

/* All pixels times `blocks` blocks of channels from `channel` on. */
static void multiply(const edged_conv_s8_params *p, s8_unit *u, const target *to, int32_t channel, int32_t blocks) {
    finish_s8 f[S8_BLOCKS];
    for (int32_t j = 0; j < blocks; j++) {
        const int32_t n = channel + j * S8_LANES;
        f[j] = (finish_s8){
            .output_zero = p->output_zero, .act_min = p->act_min, .act_max = p->act_max, .add = to->residual ? p : NULL};
        finish_s8_set(&f[j], to->multiplier + n, to->shift + n, u->band.channel_end - n);
        f[j].exact &= p->may_wrap;
    }
    for (int32_t begin = 0; begin < u->pixels; begin += S8_ROWS) {
        const int32_t rows = u->pixels - begin < S8_ROWS ? u->pixels - begin : S8_ROWS;
        u->tile.rows = u->rows + begin;
        S8_TILES[rows - 1][blocks - 1](&u->tile);
        for (int32_t j = 0; j < blocks; j++)
            for (int32_t r = 0; r < rows; r++) {
                const ptrdiff_t at = (ptrdiff_t)(begin + r) * p->out_pitch + channel + j * S8_LANES;
                const int32_t less = p->weight_zero ? (int32_t)((uint32_t)u->row_sums[begin + r] * (uint32_t)p->weight_zero) : 0;
                finish_s8_row(&f[j], u->sums + (j * S8_ROWS + r) * S8_LANES, less, to->residual ? to->residual + at : NULL,
                              to->out + at);
            }
    }
}

/* Sums of each pixel's activations, by the block of ones that stands behind the packed weights. */
static void sum_rows(s8_unit *u, const int8_t *ones) {
    static const int32_t ZEROS[S8_LANES];
    u->tile.weights = ones;
    u->tile.bias = ZEROS;
    for (int32_t begin = 0; begin < u->pixels; begin += S8_ROWS) {
        const int32_t rows = u->pixels - begin < S8_ROWS ? u->pixels - begin : S8_ROWS;
        u->tile.rows = u->rows + begin;
        S8_TILES[rows - 1][0](&u->tile);
        for (int32_t r = 0; r < rows; r++) u->row_sums[begin + r] = u->sums[r * S8_LANES];
    }
}

void conv_s8_6x16_avx2(const void *params, void *const *operands, const edged_task *task) {
    const edged_conv_s8_params *p = params;
    const int32_t all_blocks = (p->out_c + S8_LANES - 1) / S8_LANES;
    const int8_t *weights = operands[2];
    for (uint32_t index = task->begin; index < task->end; index++) {
        s8_unit u = s8_unit_of(params, index, task->scratch);
        const edged_band *b = &u.band;
        const ptrdiff_t first = ((ptrdiff_t)b->image * p->out_h + b->row) * p->out_w * p->out_pitch + p->out_first;
        const target to = {(int8_t *)operands[0] + first, operands[6] ? (const int8_t *)operands[6] + first : NULL, operands[4],
                           operands[5]};
        s8_read_input(&u, (const int8_t *)operands[1] + (ptrdiff_t)b->image * p->in_h * p->in_w * p->in_pitch, p->input_zero);
        if (p->weight_zero) sum_rows(&u, weights + all_blocks * u.tile.stride);
        S8_EACH_GROUP(u, channel, count) {
            u.tile.weights = weights + channel / S8_LANES * u.tile.stride;
            u.tile.bias = (const int32_t *)operands[3] + channel;
            multiply(p, &u, &to, channel, count);
        }
    }
}

/* Fully connected: the rows are the pixels of a convolution of 1x1. */
void fc_s8_6x16_avx2(const void *params, void *const *operands, const edged_task *task) {
    const edged_fc_s8_params *p = params;
    const edged_conv_s8_params conv = {.in_h = p->rows,
                                       .in_w = 1,
                                       .in_c = p->depth,
                                       .in_pitch = p->depth,
                                       .out_h = p->rows,
                                       .out_w = 1,
                                       .out_c = p->out_c,
                                       .out_pitch = p->out_c,
                                       .kernel_h = 1,
                                       .kernel_w = 1,
                                       .stride_h = 1,
                                       .stride_w = 1,
                                       .dilation_h = 1,
                                       .dilation_w = 1,
                                       .segments = 1,
                                       .band = p->rows,
                                       .columns = p->columns,
                                       .input_zero = p->input_zero,
                                       .weight_zero = p->weight_zero,
                                       .output_zero = p->output_zero,
                                       .act_min = p->act_min,
                                       .act_max = p->act_max,
                                       .may_wrap = 1};
    void *const all[7] = {operands[0], operands[1], operands[2], operands[3], operands[4], operands[5], NULL};
    conv_s8_6x16_avx2(&conv, all, task);
}
