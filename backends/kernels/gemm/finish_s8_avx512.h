/* From int32 sums to int8 outputs: what follows every int8 product on AVX-512. */
#ifndef EDGED_FINISH_S8_AVX512_H
#define EDGED_FINISH_S8_AVX512_H

#include <math.h>

#include "../params.h"
#include "../simd_avx512.h"

/* What the outputs of one block of 16 channels need. Sums lie [rows up to 8][16]. */
typedef struct finish_s8 {
    edged_scale_x16 scale;
    __m512i zero, low, high;                     /* the output's zero point as int16, the bounds as int8 */
    int exact; /* a shifted sum may wrap, or the residual's factors are large: only the exact form will do */
    const int32_t *multiplier, *shift;
    const int32_t *row_sum;                      /* of activations, one a row; NULL where weight_zero is 0 */
    int32_t weight_zero;
    const edged_conv_s8_params *add;             /* NULL: no residual */
    const int8_t *residual;
    __m512 own, other, other_zero;               /* the addition in floats: own * v + other * r + other_zero */
    __m512i add_low, add_high;                   /* bounds of v: the first output, less its zero point */
    int8_t *out;
    ptrdiff_t pitch;
    int32_t rows, lanes;
    __mmask16 mask;                              /* of lanes */
    int32_t *doubts;                             /* counts what the quick form left to the exact one */
} finish_s8;

/* For channels n.. of a convolution's output; `lanes` of them are stored. */
static inline void finish_s8_set(finish_s8 *f, const int32_t *multiplier, const int32_t *shift, int32_t lanes, int32_t zero,
                                 int32_t low, int32_t high) {
    f->multiplier = multiplier;
    f->shift = shift;
    f->scale = edged_scale_x16_of(_mm512_loadu_si512(multiplier), _mm512_loadu_si512(shift));
    f->lanes = lanes;
    f->mask = edged_mask16(lanes);
    f->zero = _mm512_set1_epi16((short)zero);
    f->low = _mm512_set1_epi8((char)low);
    f->high = _mm512_set1_epi8((char)high);
}

/* The sums of row r, less what the zero point of the weights adds. */
static inline __m512i finish_sum(const finish_s8 *f, const int32_t *sums, int r) {
    const __m512i x = _mm512_load_si512(sums + 16 * r);
    if (!f->row_sum) return x;
    return _mm512_sub_epi32(x, _mm512_set1_epi32((int32_t)((uint32_t)f->row_sum[r] * (uint32_t)f->weight_zero)));
}

/* TFLite's ADD of a requantised output (without its zero point) and the residual, without the sum's zero point. */
static inline __m512i finish_add(const finish_s8 *f, __m512i v, int r) {
    const edged_conv_s8_params *p = f->add;
    const __m512i zero = _mm512_set1_epi32(p->output_zero);
    const __m512i low = _mm512_sub_epi32(_mm512_set1_epi32(p->act_min), zero),
                  high = _mm512_sub_epi32(_mm512_set1_epi32(p->act_max), zero);
    const __m512i own = _mm512_min_epi32(_mm512_max_epi32(v, low), high);
    const __m128i bytes = _mm_maskz_loadu_epi8(edged_mask16(r < f->rows ? f->lanes : 0), f->residual + r * f->pitch);
    const __m512i other = _mm512_sub_epi32(_mm512_cvtepi8_epi32(bytes), _mm512_set1_epi32(p->zero2));
    const __m512i a = edged_requantise_x16(_mm512_slli_epi32(own, 20), _mm512_set1_epi32(p->mult1), _mm512_set1_epi32(p->shift1));
    const __m512i b = edged_requantise_x16(_mm512_slli_epi32(other, 20), _mm512_set1_epi32(p->mult2), _mm512_set1_epi32(p->shift2));
    return edged_requantise_x16(_mm512_add_epi32(a, b), _mm512_set1_epi32(p->mult3), _mm512_set1_epi32(p->shift3));
}

/* The real factor of a multiplier and a shift. */
static inline double finish_factor(int32_t multiplier, int32_t shift) { return ldexp((double)multiplier, shift - 31); }

/* Prepares the residual of `p`. The floats of the quick form are within 2.5e-4 of TFLite's integers where neither factor is above
 * 4: their own roundings are 2^-24 of at most 1020 for each factor and product, and a rounding of the shifted integers is worth
 * 2^-17 of an output step. Otherwise only the exact form will do. */
static inline void finish_s8_set_add(finish_s8 *f, const edged_conv_s8_params *p, const int8_t *residual) {
    const double whole = finish_factor(p->mult3, p->shift3) * (1 << 20);
    const double own = finish_factor(p->mult1, p->shift1) * whole, other = finish_factor(p->mult2, p->shift2) * whole;
    f->add = p;
    f->residual = residual;
    f->own = _mm512_set1_ps((float)own);
    f->other = _mm512_set1_ps((float)other);
    f->other_zero = _mm512_set1_ps((float)(-p->zero2 * other));
    f->add_low = _mm512_set1_epi32(p->act_min - p->output_zero);
    f->add_high = _mm512_set1_epi32(p->act_max - p->output_zero);
    f->exact |= own > 4.0 || other > 4.0 || p->shift3 > -16;
}

/* finish_add in floats. */
static inline __m512i finish_add_quick(const finish_s8 *f, __m512i v, int r, __m512 *doubt) {
    const __m512 own = _mm512_cvtepi32_ps(_mm512_min_epi32(_mm512_max_epi32(v, f->add_low), f->add_high));
    const __m128i bytes = _mm_maskz_loadu_epi8(r < f->rows ? f->mask : 0, f->residual + r * f->pitch);
    const __m512 other = _mm512_fmadd_ps(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes)), f->other, f->other_zero);
    const __m512 sum = _mm512_fmadd_ps(own, f->own, other);
    /* Its doubt begins 2.5e-4 before 0.5, and EDGED_DOUBT 5e-5. */
    *doubt = _mm512_range_ps(*doubt, _mm512_add_ps(_mm512_abs_ps(_mm512_reduce_ps(sum, 0)), _mm512_set1_ps(2e-4f)), 0x0B);
    return _mm512_cvtps_epi32(sum);
}

/* Four rows of sixteen int32 -> bytes within the bounds, zero point added, one row in each 128-bit quarter. Saturation at every
 * step gives what a clamp of the exact sum would. */
static inline __m512i finish_pack(const finish_s8 *f, const __m512i v[4]) {
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    const __m512i low = _mm512_adds_epi16(_mm512_packs_epi32(v[0], v[1]), f->zero),
                  high = _mm512_adds_epi16(_mm512_packs_epi32(v[2], v[3]), f->zero);
    const __m512i bytes = _mm512_permutexvar_epi32(order, _mm512_packs_epi16(low, high));
    return _mm512_min_epi8(_mm512_max_epi8(bytes, f->low), f->high);
}

/* Stores `rows` (at most 4) rows. */
static inline __attribute__((always_inline)) void finish_store(int8_t *out, ptrdiff_t pitch, int rows, __mmask16 mask,
                                                               __m512i bytes, int masked) {
    const __m128i row[4] = {_mm512_castsi512_si128(bytes), _mm512_extracti32x4_epi32(bytes, 1), _mm512_extracti32x4_epi32(bytes, 2),
                            _mm512_extracti32x4_epi32(bytes, 3)};
    _Pragma("GCC unroll 4") for (int i = 0; i < 4; i++) {
        if (i >= rows) break;
        if (masked) _mm_mask_storeu_epi8(out + i * pitch, mask, row[i]);
        else _mm_storeu_si128((__m128i *)(void *)(out + i * pitch), row[i]);
    }
}

/* `rows` (at most 4) rows of sums in the exact form, with all that may follow; r: the first row's number in row_sum and residual.
 * Out of line: the quick form keeps its registers. */
static __attribute__((noinline)) void finish_exactly(const finish_s8 *f, const int32_t *sums, int8_t *out, int rows, int r) {
    const __m512i multiplier = _mm512_loadu_si512(f->multiplier), shift = _mm512_loadu_si512(f->shift);
    __m512i v[4];
    for (int i = 0; i < 4; i++) {
        v[i] = edged_requantise_x16(finish_sum(f, sums - 16 * r, r + i), multiplier, shift);
        if (f->add) v[i] = finish_add(f, v[i], r + i);
    }
    finish_store(out, f->pitch, rows, f->mask, finish_pack(f, v), 1);
}

/* Up to 4 rows of sums that need no row sums and no residual, in the quick form where it is sure; `memory` has room for them;
 * `at` is the offset of the first from f->out. */
static inline __attribute__((always_inline)) void finish_quick(const finish_s8 *f, const __m512i sums[4], int32_t *memory,
                                                               ptrdiff_t at, const int rows, const int masked, const int held) {
    __m512i v[4];
    __m512 doubt = _mm512_setzero_ps();
    _Pragma("GCC unroll 4") for (int i = 0; i < 4; i++) v[i] =
        i < rows ? edged_scale_x16_do(f->scale, sums[i], &doubt, held) : v[0];
    if (__builtin_expect(edged_in_doubt(doubt), 0)) {
        _Pragma("GCC unroll 4") for (int i = 0; i < 4; i++) _mm512_store_si512(memory + 16 * i, sums[i]);
        ++*f->doubts;
        finish_exactly(f, memory, f->out + at, rows, 0);
    } else finish_store(f->out + at, f->pitch, rows, f->mask, finish_pack(f, v), masked);
}

/* One block of up to 16 channels and 8 rows from memory: all cases. */
static inline void finish_s8_block(const finish_s8 *f, const int32_t *sums) {
    for (int r = 0; r < f->rows; r += 4) {
        __m512i v[4];
        __m512 doubt = _mm512_setzero_ps();
        for (int i = 0; i < 4; i++) v[i] = edged_scale_x16_do(f->scale, finish_sum(f, sums, r + i), &doubt, 1);
        if (f->add)
            for (int i = 0; i < 4; i++) v[i] = finish_add_quick(f, v[i], r + i, &doubt);
        if (f->exact || edged_in_doubt(doubt)) {
            finish_exactly(f, sums + 16 * r, f->out + r * f->pitch, f->rows - r, r);
            continue;
        }
        finish_store(f->out + r * f->pitch, f->pitch, f->rows - r, f->mask, finish_pack(f, v), 1);
    }
}

/* One of `count` shifts is positive. */
static inline int finish_needs_exact(const int32_t *shift, int32_t count) {
    __mmask16 found = 0;
    for (int32_t n = 0; n < count; n += 16) {
        const __mmask16 mask = edged_mask16(count - n);
        found |= _mm512_mask_cmpgt_epi32_mask(mask, _mm512_maskz_loadu_epi32(mask, shift + n), _mm512_setzero_si512());
    }
    return found != 0;
}

#endif
