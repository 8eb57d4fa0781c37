/* int8 fully connected on AVX-512 VNNI: for each row, blocks of channels with several independent sums each, so that
 * weights stream
 * as fast as memory gives them. Scratch: the rows as input + 128, each rounded up to 64 bytes. */
#include "../abi.h"
#include "finish_s8_avx512.h"

#define UNROLL _Pragma("GCC unroll 8")

/* `blocks` blocks of 16 channels, CHAINS partial sums each, of one row. groups = depth / 4, rounded up. */
static inline __attribute__((always_inline)) void row_body(const uint8_t *a, const int8_t *w, ptrdiff_t stride, ptrdiff_t groups,
                                                           __m512i *out, const int BLOCKS, const int CHAINS) {
    __m512i sum[8][8];
    UNROLL for (int j = 0; j < BLOCKS; j++)
        UNROLL for (int c = 0; c < CHAINS; c++) sum[j][c] = _mm512_setzero_si512();
    ptrdiff_t g = 0;
    for (; g + CHAINS <= groups; g += CHAINS, a += 4 * CHAINS, w += 64 * CHAINS)
        UNROLL for (int c = 0; c < CHAINS; c++) {
            const __m512i four = edged_broadcast4(a + 4 * c);
            UNROLL for (int j = 0; j < BLOCKS; j++) sum[j][c] = _mm512_dpbusd_epi32(sum[j][c], four, _mm512_load_si512(w + j * stride + 64 * c));
        }
    for (; g < groups; g++, a += 4, w += 64) {
        const __m512i four = edged_broadcast4(a);
        UNROLL for (int j = 0; j < BLOCKS; j++) sum[j][0] = _mm512_dpbusd_epi32(sum[j][0], four, _mm512_load_si512(w + j * stride));
    }
    UNROLL for (int j = 0; j < BLOCKS; j++) {
        UNROLL for (int c = 1; c < CHAINS; c++) sum[j][0] = _mm512_add_epi32(sum[j][0], sum[j][c]);
        out[j] = sum[j][0];
    }
}

typedef void row_function(const uint8_t *a, const int8_t *w, ptrdiff_t stride, ptrdiff_t groups, __m512i *out);
#define ROW(BLOCKS, CHAINS)                                                                                             \
    static void row_##BLOCKS(const uint8_t *a, const int8_t *w, ptrdiff_t stride, ptrdiff_t groups, __m512i *out) { \
        row_body(a, w, stride, groups, out, BLOCKS, CHAINS);                                                            \
    }
ROW(1, 8) ROW(2, 4) ROW(3, 4) ROW(4, 4)
#undef ROW
static row_function *const ROWS[4] = {row_1, row_2, row_3, row_4};
enum { MOST = 4 };

static void finish(const edged_fc_s8_params *p, void *const *operands, __m512i sum, int32_t row_sum, int32_t m, int32_t n) {
    const int32_t *bias = operands[3], *multiplier = operands[4], *shift = operands[5];
    __m512i x = _mm512_add_epi32(sum, _mm512_loadu_si512(bias + n));
    x = _mm512_sub_epi32(x, _mm512_set1_epi32((int32_t)((uint32_t)row_sum * (uint32_t)p->weight_zero)));
    const __m512i factor = _mm512_loadu_si512(multiplier + n), s = _mm512_loadu_si512(shift + n);
    __m512 doubt = _mm512_setzero_ps();
    const __m512i quick = edged_scale_x16_do(edged_scale_x16_of(factor, s), x, &doubt, 1);
    const int exact = edged_in_doubt(doubt) || _mm512_cmpgt_epi32_mask(s, _mm512_setzero_si512());
    x = exact ? edged_requantise_x16(x, factor, s) : quick;
    x = _mm512_add_epi32(x, _mm512_set1_epi32(p->output_zero));
    x = _mm512_min_epi32(_mm512_max_epi32(x, _mm512_set1_epi32(p->act_min)), _mm512_set1_epi32(p->act_max));
    int8_t *out = (int8_t *)operands[0] + (ptrdiff_t)m * p->out_c + n;
    _mm_mask_storeu_epi8(out, edged_mask16(p->out_c - n), _mm512_cvtepi32_epi8(x));
}

void fc_s8_1x64_vnni(const void *params, void *const *operands, const edged_task *task) {
    const edged_fc_s8_params *p = params;
    const ptrdiff_t groups = (p->depth + 3) / 4, stride = groups * 64, line = (p->depth + 63) / 64 * 64;
    const int8_t *weights = operands[2];
    const int32_t all = (p->out_c + 15) / 16;
    const int32_t begin = (int32_t)task->begin * p->columns / 16;
    const int32_t stop = (int32_t)task->end * p->columns, end = stop < p->out_c ? stop / 16 : all;
    uint8_t *rows = task->scratch;
    for (int32_t m = 0; m < p->rows; m++) {
        __m512i sums[MOST];
        uint8_t *a = rows + m * line;
        edged_copy_xor80_avx512(a, (const int8_t *)operands[1] + (ptrdiff_t)m * p->depth, p->depth);
        int32_t row_sum = 0;
        if (p->weight_zero) {
            row_1(a, weights + all * stride, stride, groups, sums);
            row_sum = _mm_cvtsi128_si32(_mm512_castsi512_si128(sums[0]));
        }
        for (int32_t n = begin; n < end;) {
            const int32_t blocks = end - n < MOST ? end - n : MOST;
            ROWS[blocks - 1](a, weights + n * stride, stride, groups, sums);
            for (int32_t j = 0; j < blocks; j++) finish(p, operands, sums[j], row_sum, m, (n + j) * 16);
            n += blocks;
        }
    }
}
