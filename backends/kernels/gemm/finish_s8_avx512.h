/* From int32 sums to int8 outputs: what follows every int8 product on AVX-512. */
#ifndef EDGED_FINISH_S8_AVX512_H
#define EDGED_FINISH_S8_AVX512_H

#include "../params.h"
#include "../simd_avx512.h"

/* What the outputs of one block of 16 channels need. Sums lie [rows up to 8][16]. */
typedef struct finish_s8 {
    const edged_requant_x16 *constants;          /* short form, or NULL: take the next two */
    const int32_t *multiplier, *shift;
    int32_t output_zero, act_min, act_max;
    const int32_t *row_sum;                      /* of activations, one a row; NULL where weight_zero is 0 */
    int32_t weight_zero;
    const edged_conv_s8_params *add;             /* NULL: no residual */
    const int8_t *residual;
    int8_t *out;
    ptrdiff_t pitch;
    int32_t rows, lanes;
} finish_s8;

/* requantise + output zero of the sums of rows r..r+3. */
static inline __m512i finish_row(const finish_s8 *f, const int32_t *sums, int r) {
    __m512i x = _mm512_load_si512(sums + 16 * r);
    if (f->row_sum) x = _mm512_sub_epi32(x, _mm512_set1_epi32((int32_t)((uint32_t)f->row_sum[r] * (uint32_t)f->weight_zero)));
    if (f->constants) return edged_requant_x16_do(f->constants, x);
    x = edged_requantise_x16(x, _mm512_loadu_si512(f->multiplier), _mm512_loadu_si512(f->shift));
    return _mm512_add_epi32(x, _mm512_set1_epi32(f->output_zero));
}

/* TFLite's ADD of the clamped output and the residual. */
static inline __m512i finish_add(const finish_s8 *f, __m512i v, int r) {
    const edged_conv_s8_params *p = f->add;
    const __m512i low = _mm512_set1_epi32(p->act_min), high = _mm512_set1_epi32(p->act_max);
    v = _mm512_min_epi32(_mm512_max_epi32(v, low), high);
    const __m128i bytes = _mm_maskz_loadu_epi8(edged_mask16(r < f->rows ? f->lanes : 0), f->residual + r * f->pitch);
    const __m512i other = _mm512_sub_epi32(_mm512_cvtepi8_epi32(bytes), _mm512_set1_epi32(p->zero2));
    const __m512i own = _mm512_sub_epi32(v, _mm512_set1_epi32(p->output_zero));
    const __m512i a = edged_requantise_x16(_mm512_slli_epi32(own, 20), _mm512_set1_epi32(p->mult1), _mm512_set1_epi32(p->shift1));
    const __m512i b = edged_requantise_x16(_mm512_slli_epi32(other, 20), _mm512_set1_epi32(p->mult2), _mm512_set1_epi32(p->shift2));
    const __m512i sum = edged_requantise_x16(_mm512_add_epi32(a, b), _mm512_set1_epi32(p->mult3), _mm512_set1_epi32(p->shift3));
    return _mm512_add_epi32(sum, _mm512_set1_epi32(p->zero3));
}

/* Four rows of sixteen int32 -> bytes, one row in each 128-bit quarter. */
static inline __m512i finish_pack(__m512i a, __m512i b, __m512i c, __m512i d) {
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    return _mm512_permutexvar_epi32(order, _mm512_packs_epi16(_mm512_packs_epi32(a, b), _mm512_packs_epi32(c, d)));
}

static inline void finish_store(const finish_s8 *f, __m512i bytes, int r) {
    int8_t *out = f->out + r * f->pitch;
    const __m128i row[4] = {_mm512_castsi512_si128(bytes), _mm512_extracti32x4_epi32(bytes, 1), _mm512_extracti32x4_epi32(bytes, 2),
                            _mm512_extracti32x4_epi32(bytes, 3)};
    if (f->lanes >= 16 && f->rows - r >= 4) {
        for (int i = 0; i < 4; i++) _mm_storeu_si128((__m128i *)(void *)(out + i * f->pitch), row[i]);
        return;
    }
    const __mmask16 mask = edged_mask16(f->lanes);
    for (int i = 0; i < 4 && r + i < f->rows; i++) _mm_mask_storeu_epi8(out + i * f->pitch, mask, row[i]);
}

static inline __attribute__((always_inline)) void finish_rows(const finish_s8 *f, const int32_t *sums) {
    const __m512i low = _mm512_set1_epi8((char)(f->add ? f->add->add_min : f->act_min));
    const __m512i high = _mm512_set1_epi8((char)(f->add ? f->add->add_max : f->act_max));
    for (int r = 0; r < f->rows; r += 4) {
        __m512i v[4];
        _Pragma("GCC unroll 4") for (int i = 0; i < 4; i++) {
            v[i] = finish_row(f, sums, r + i);
            if (f->add) v[i] = finish_add(f, v[i], r + i);
        }
        const __m512i bytes = finish_pack(v[0], v[1], v[2], v[3]);
        finish_store(f, _mm512_min_epi8(_mm512_max_epi8(bytes, low), high), r);
    }
}

/* One block of up to 16 channels and 8 rows. The plain case is compiled for itself. */
static inline void finish_s8_block(const finish_s8 *f, const int32_t *sums) {
    if (f->constants && !f->row_sum && !f->add) {
        finish_s8 plain = *f;
        plain.row_sum = NULL;
        plain.add = NULL;
        finish_rows(&plain, sums);
    } else {
        finish_rows(f, sums);
    }
}

/* Every one of `count` shifts allows the short form. */
static inline int finish_short(const int32_t *shift, int32_t count) {
    for (int32_t n = 0; n < count; n += 16) {
        const __mmask16 mask = edged_mask16(count - n);
        const __m512i s = _mm512_maskz_loadu_epi32(mask, shift + n);
        if (_mm512_mask_cmpge_epi32_mask(mask, s, _mm512_setzero_si512()) |
            _mm512_mask_cmplt_epi32_mask(mask, s, _mm512_set1_epi32(EDGED_SHORT_SHIFT_MIN)))
            return 0;
    }
    return 1;
}

#endif
