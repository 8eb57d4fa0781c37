/* float fully connected on AVX2: for each row, blocks of 8 channels with several independent sums each. */
#include <immintrin.h>

#include "../abi.h"
#include "../params.h"

#define UNROLL _Pragma("GCC unroll 8")

static inline __attribute__((always_inline)) void row_body(const float *a, const float *w, ptrdiff_t stride, ptrdiff_t depth, __m256 *out,
                                                           const int BLOCKS, const int CHAINS) {
    __m256 sum[4][4];
    UNROLL for (int j = 0; j < BLOCKS; j++)
        UNROLL for (int c = 0; c < CHAINS; c++) sum[j][c] = _mm256_setzero_ps();
    ptrdiff_t k = 0;
    for (; k + CHAINS <= depth; k += CHAINS, w += 8 * CHAINS)
        UNROLL for (int c = 0; c < CHAINS; c++) {
            const __m256 one = _mm256_set1_ps(a[k + c]);
            UNROLL for (int j = 0; j < BLOCKS; j++) sum[j][c] = _mm256_fmadd_ps(one, _mm256_load_ps(w + j * stride + 8 * c), sum[j][c]);
        }
    for (; k < depth; k++, w += 8)
        UNROLL for (int j = 0; j < BLOCKS; j++) sum[j][0] = _mm256_fmadd_ps(_mm256_set1_ps(a[k]), _mm256_load_ps(w + j * stride), sum[j][0]);
    UNROLL for (int j = 0; j < BLOCKS; j++) {
        UNROLL for (int c = 1; c < CHAINS; c++) sum[j][0] = _mm256_add_ps(sum[j][0], sum[j][c]);
        out[j] = sum[j][0];
    }
}

typedef void row_function(const float *a, const float *w, ptrdiff_t stride, ptrdiff_t depth, __m256 *out);
#define ROW(BLOCKS, CHAINS)                                                                                        \
    static void row_##BLOCKS(const float *a, const float *w, ptrdiff_t stride, ptrdiff_t depth, __m256 *out) { \
        row_body(a, w, stride, depth, out, BLOCKS, CHAINS);                                                        \
    }
ROW(1, 4) ROW(2, 4) ROW(3, 3) ROW(4, 2)
#undef ROW
static row_function *const ROWS[4] = {row_1, row_2, row_3, row_4};
enum { MOST = 4 };

void fc_f32_1x32_avx2(const void *params, void *const *operands, const edged_task *task) {
    const edged_fc_f32_params *p = params;
    const ptrdiff_t stride = (ptrdiff_t)p->depth * 8;
    const float *weights = operands[2], *bias = operands[3];
    const int32_t all = (p->out_c + 7) / 8;
    const int32_t begin = (int32_t)task->begin * p->columns / 8;
    const int32_t stop = (int32_t)task->end * p->columns, end = stop < p->out_c ? stop / 8 : all;
    const __m256 low = _mm256_set1_ps(p->act_min), high = _mm256_set1_ps(p->act_max);
    for (int32_t m = 0; m < p->rows; m++) {
        const float *a = (const float *)operands[1] + (ptrdiff_t)m * p->depth;
        float *out = (float *)operands[0] + (ptrdiff_t)m * p->out_c;
        for (int32_t n = begin; n < end;) {
            __m256 sums[MOST];
            const int32_t blocks = end - n < MOST ? end - n : MOST;
            ROWS[blocks - 1](a, weights + n * stride, stride, p->depth, sums);
            for (int32_t j = 0; j < blocks; j++) {
                const __m256 v = _mm256_add_ps(sums[j], _mm256_loadu_ps(bias + (n + j) * 8));
                const __m256i tail = _mm256_cmpgt_epi32(_mm256_set1_epi32(p->out_c - (n + j) * 8), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
                _mm256_maskstore_ps(out + (n + j) * 8, tail, _mm256_min_ps(high, _mm256_max_ps(low, v)));
            }
            n += blocks;
        }
    }
}
