/* Convolution of int8 activations, quantised as they came, to floats on NEON with sdot. */
#include "../abi.h"
#include "tile_s8_neon_dotprod.h"

#define COPY(to, from, n) memcpy(to, from, (size_t)(n))
#define FILL(to, n) memset(to, zero, (size_t)(n))
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
    const float32x4_t low = vdupq_n_f32(p->act_min), high = vdupq_n_f32(p->act_max);
    for (int32_t j = 0; j < blocks; j++) {
        const int32_t n = channel + j * S8_LANES, lanes = u->band.channel_end - n;
        const int32x4_t offset = vmulq_s32(vdupq_n_s32(im->zero), vld1q_s32(im->weight_sums + n));
        const float32x4_t scale = vmulq_f32(vdupq_n_f32(im->scale), vld1q_f32(im->scales + n)), bias = vld1q_f32(im->bias + n);
        for (int32_t r = 0; r < rows; r++) {
            const int32x4_t sum = vsubq_s32(vld1q_s32(u->sums + (j * S8_ROWS + r) * S8_LANES), offset);
            const float32x4_t v =
                vminq_f32(vmaxq_f32(vaddq_f32(vmulq_f32(vcvtq_f32_s32(sum), scale), bias), low), high);
            float *out = im->out + (ptrdiff_t)(begin + r) * p->out_pitch + n;
            if (lanes >= 4) {
                vst1q_f32(out, v);
            } else {
                float each[4];
                vst1q_f32(each, v);
                for (int32_t l = 0; l < lanes; l++) out[l] = each[l];
            }
        }
    }
}

void conv_hybrid_6x16_neon_dotprod(const void *params, void *const *operands, const edged_task *task) {
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
