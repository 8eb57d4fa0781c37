/* quantise_rows for avx512; the conversion by hand. */
#include "../simd_avx512.h"

/* std::round of zero + row * inverse, clamped to least..127; NaN gives the least. */
static void convert_x16(const float *row, int8_t *to, int32_t n, float inverse, float zero, int32_t least) {
    const __m512 half = _mm512_set1_ps(0.5f), bound = _mm512_set1_ps(1000.0f);
    for (int32_t i = 0; i < n; i += 16) {
        const __mmask16 mask = edged_mask16(n - i);
        const __m512 step = _mm512_mul_ps(_mm512_maskz_loadu_ps(mask, row + i), _mm512_set1_ps(inverse));
        __m512 v = _mm512_add_ps(_mm512_set1_ps(zero), step);
        v = _mm512_min_ps(_mm512_max_ps(v, _mm512_set1_ps(-1000.0f)), bound);
        const __m512i whole = _mm512_cvttps_epi32(v);
        const __m512 rest = _mm512_sub_ps(v, _mm512_cvtepi32_ps(whole));
        const __m512i up = _mm512_maskz_set1_epi32(_mm512_cmp_ps_mask(rest, half, _CMP_GE_OQ), 1);
        const __m512i down = _mm512_maskz_set1_epi32(_mm512_cmp_ps_mask(rest, _mm512_set1_ps(-0.5f), _CMP_LE_OQ), 1);
        __m512i q = _mm512_sub_epi32(_mm512_add_epi32(whole, up), down);
        q = _mm512_min_epi32(_mm512_max_epi32(q, _mm512_set1_epi32(least)), _mm512_set1_epi32(127));
        _mm_mask_storeu_epi8(to + i, mask, _mm512_cvtepi32_epi8(q));
    }
}

/* Least and greatest of the row and 0; NaN counts as nothing. */
static void bounds_x16(const float *row, int32_t n, float *least, float *most) {
    __m512 low[2] = {_mm512_setzero_ps(), _mm512_setzero_ps()}, high[2] = {_mm512_setzero_ps(), _mm512_setzero_ps()};
    int32_t i = 0;
    for (; i + 32 <= n; i += 32)
        for (int j = 0; j < 2; j++) {
            const __m512 v = _mm512_loadu_ps(row + i + 16 * j);
            low[j] = _mm512_min_ps(v, low[j]);
            high[j] = _mm512_max_ps(v, high[j]);
        }
    for (; i < n; i += 16) {
        const __m512 v = _mm512_maskz_loadu_ps(edged_mask16(n - i), row + i);
        low[0] = _mm512_min_ps(v, low[0]);
        high[0] = _mm512_max_ps(v, high[0]);
    }
    *least = _mm512_reduce_min_ps(_mm512_min_ps(low[0], low[1]));
    *most = _mm512_reduce_max_ps(_mm512_max_ps(high[0], high[1]));
}

#define ROW_BOUNDS bounds_x16
#define CONVERT_ROW convert_x16
#define KERNEL_NAME(op) op##_avx512
#include "quantise_rows.inc"
