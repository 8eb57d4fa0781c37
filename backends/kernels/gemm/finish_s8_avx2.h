/* From int32 sums to int8 outputs on AVX2: eight channels at a time in floats where that is sure (simd_avx512.h explains why it
 * is exact), else one by one. */
#ifndef EDGED_FINISH_S8_AVX2_H
#define EDGED_FINISH_S8_AVX2_H

#include <immintrin.h>
#include <string.h>

#include "../fixedpoint.h"
#include "../params.h"

typedef struct finish_s8 {
    const int32_t *multiplier, *shift;           /* of the block's first channel */
    __m256 scale, nudge;
    int exact;                                   /* a shift is positive */
    int32_t output_zero, act_min, act_max;
    const edged_conv_s8_params *add;             /* NULL: no residual */
    int32_t lanes;
} finish_s8;

/* 2^n for n in -126..127. */
static inline __m256 finish_power(__m256i n) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(127)), 23));
}

static inline void finish_s8_set(finish_s8 *f, const int32_t *multiplier, const int32_t *shift, int32_t lanes) {
    const __m256i m = _mm256_loadu_si256((const __m256i *)(const void *)multiplier),
                  s = _mm256_loadu_si256((const __m256i *)(const void *)shift);
    f->multiplier = multiplier;
    f->shift = shift;
    f->lanes = lanes < 8 ? lanes : 8;
    f->scale = _mm256_mul_ps(_mm256_cvtepi32_ps(m), finish_power(_mm256_sub_epi32(s, _mm256_set1_epi32(31))));
    const __m256i negative = _mm256_cmpgt_epi32(_mm256_setzero_si256(), s);
    f->nudge = _mm256_and_ps(finish_power(_mm256_sub_epi32(s, _mm256_set1_epi32(1))), _mm256_castsi256_ps(negative));
    f->exact = 0;
    for (int32_t n = 0; n < f->lanes; n++) f->exact |= shift[n] > 0;
}

/* TFLite's ADD of a finished output and the residual. */
static inline int32_t finish_add(const edged_conv_s8_params *p, int32_t v, int32_t r) {
    const int32_t a = edged_requantise(edged_shift_left(v - p->output_zero, 20), p->mult1, p->shift1);
    const int32_t b = edged_requantise(edged_shift_left(r - p->zero2, 20), p->mult2, p->shift2);
    const int32_t sum = edged_requantise(edged_wrapping_add(a, b), p->mult3, p->shift3);
    return edged_clamp(edged_wrapping_add(sum, p->zero3), p->add_min, p->add_max);
}

static __attribute__((noinline)) void finish_exactly(const finish_s8 *f, const int32_t sums[8], int32_t v[8]) {
    for (int32_t n = 0; n < f->lanes; n++) v[n] = edged_requantise(sums[n], f->multiplier[n], f->shift[n]);
}

/* One row of a block: `less` is what the zero point of the weights adds; residual may be NULL. */
static inline void finish_s8_row(const finish_s8 *f, const int32_t *sums, int32_t less, const int8_t *residual, int8_t *out) {
    const __m256i x = _mm256_sub_epi32(_mm256_loadu_si256((const __m256i *)(const void *)sums), _mm256_set1_epi32(less));
    const __m256 real = _mm256_cvtepi32_ps(x), sign = _mm256_set1_ps(-0.0f);
    const __m256 scaled = _mm256_fmadd_ps(real, f->scale, _mm256_or_ps(_mm256_and_ps(real, sign), f->nudge));
    __m256i v = _mm256_cvtps_epi32(scaled);
    const __m256 rest = _mm256_andnot_ps(sign, _mm256_sub_ps(scaled, _mm256_cvtepi32_ps(v)));
    int32_t each[8], from[8];
    if (f->exact || _mm256_movemask_ps(_mm256_cmp_ps(rest, _mm256_set1_ps(0.49995f), _CMP_GT_OQ))) {
        _mm256_storeu_si256((__m256i *)(void *)from, x);
        memset(each, 0, sizeof each);
        finish_exactly(f, from, each);
        v = _mm256_loadu_si256((const __m256i *)(const void *)each);
    }
    v = _mm256_add_epi32(v, _mm256_set1_epi32(f->output_zero));
    v = _mm256_min_epi32(_mm256_max_epi32(v, _mm256_set1_epi32(f->act_min)), _mm256_set1_epi32(f->act_max));
    if (f->lanes == 8 && !f->add) {
        const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
        _mm_storel_epi64((__m128i *)(void *)out, _mm_packs_epi16(words, words));
        return;
    }
    _mm256_storeu_si256((__m256i *)(void *)each, v);
    for (int32_t n = 0; n < f->lanes; n++) out[n] = (int8_t)(f->add ? finish_add(f->add, each[n], residual[n]) : each[n]);
}

#endif
