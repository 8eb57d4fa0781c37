/* Convolution of int8 activations, quantised as they came, to floats on AVX-512 VNNI. */
#include "../abi.h"
#include "tile_s8_vnni.h"

#define COPY(to, from, n) edged_copy_xor80_avx512(to, from, n)
#define FILL(to, n) edged_fill_avx512(to, n, zero)
#include "conv_unit_s8.inc"

typedef struct image {
    float scale;
    int32_t zero;
    const int32_t *weight_sums;
    const float *scales, *bias;
    float *out;
} image;

static void finish_tile(const edged_conv_hybrid_params *p, const s8_unit *u, const image *im, int32_t channel, int32_t blocks,
                        int32_t begin, int32_t rows) {
    const __m512 low = _mm512_set1_ps(p->act_min), high = _mm512_set1_ps(p->act_max);
    for (int32_t j = 0; j < blocks; j++) {
        const int32_t n = channel + j * S8_LANES;
        const __m512i offset = _mm512_mullo_epi32(_mm512_set1_epi32(im->zero + 128), _mm512_loadu_si512(im->weight_sums + n));
        const __m512 scale = _mm512_mul_ps(_mm512_set1_ps(im->scale), _mm512_loadu_ps(im->scales + n)),
                     bias = _mm512_loadu_ps(im->bias + n);
        const __mmask16 mask = edged_mask16(u->band.channel_end - n);
        for (int32_t r = 0; r < rows; r++) {
            const __m512i sum = _mm512_sub_epi32(_mm512_load_si512(u->sums + (j * S8_ROWS + r) * S8_LANES), offset);
            const __m512 v = _mm512_add_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(sum), scale), bias);
            _mm512_mask_storeu_ps(im->out + (ptrdiff_t)(begin + r) * p->out_pitch + n, mask,
                                  _mm512_min_ps(high, _mm512_max_ps(low, v)));
        }
    }
}

void conv_hybrid_8x48_vnni(const void *params, void *const *operands, const edged_task *task) {
    static const int32_t ZEROS[S8_LANES * S8_BLOCKS];
    const edged_conv_hybrid_params *p = params;
    const int8_t *weights = operands[2];
    const float *scales = operands[6];
    const int32_t *zeros = operands[7];
    for (uint32_t index = task->begin; index < task->end; index++) {
        s8_unit u = s8_unit_of(params, index, task->scratch);
        const edged_band *b = &u.band;
        image im = {scales[b->image], zeros[b->image], operands[3], operands[4], operands[5], operands[0]};
        im.out += ((ptrdiff_t)b->image * p->out_h + b->row) * p->out_w * p->out_pitch + p->out_first;
        s8_read_input(&u, (const int8_t *)operands[1] + (ptrdiff_t)b->image * p->in_h * p->in_w * p->in_pitch, im.zero);
        u.tile.bias = ZEROS;
        S8_EACH_GROUP(u, channel, count) {
            u.tile.weights = weights + channel / S8_LANES * u.tile.stride;
            for (int32_t begin = 0; begin < u.pixels; begin += S8_ROWS) {
                const int32_t rows = u.pixels - begin < S8_ROWS ? u.pixels - begin : S8_ROWS;
                u.tile.rows = u.rows + begin;
                S8_TILES[rows - 1][count - 1](&u.tile);
                finish_tile(p, &u, &im, channel, count, begin, rows);
            }
        }
    }
}
