/* Inline arithmetic of AVX-512 kernels: requantisation as in fixedpoint.h, sixteen lanes at once; masked tails. */
#ifndef EDGED_SIMD_AVX512_H
#define EDGED_SIMD_AVX512_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* The first n of 16 (64) lanes; n >= 16 (64) means all. */
static inline __mmask16 edged_mask16(ptrdiff_t n) { return (__mmask16)(n >= 16 ? 0xFFFF : (1u << n) - 1u); }
static inline __mmask64 edged_mask64(ptrdiff_t n) { return n >= 64 ? ~(uint64_t)0 : ((uint64_t)1 << n) - 1u; }

/* The four bytes at `from`, in every 32-bit lane. */
static inline __m512i edged_broadcast4(const uint8_t *from) {
    int32_t four;
    memcpy(&four, from, 4);
    return _mm512_set1_epi32(four);
}

/* edged_doubling_high_mul for multipliers that are not INT32_MIN. */
static inline __m512i edged_doubling_high_mul_x16(__m512i a, __m512i b) {
    const __m512i nudge = _mm512_set1_epi64(INT64_C(1) << 30);
    const __m512i even = _mm512_add_epi64(_mm512_mul_epi32(a, b), nudge);
    const __m512i odd = _mm512_add_epi64(_mm512_mul_epi32(_mm512_srli_epi64(a, 32), _mm512_srli_epi64(b, 32)), nudge);
    return _mm512_mask_blend_epi32(0xAAAA, _mm512_srli_epi64(even, 31), _mm512_slli_epi64(odd, 1));
}

/* edged_rounding_shift, exponents 0..31 per lane. */
static inline __m512i edged_rounding_shift_x16(__m512i x, __m512i exponent) {
    const __m512i one = _mm512_set1_epi32(1);
    const __m512i mask = _mm512_sub_epi32(_mm512_sllv_epi32(one, exponent), one);
    const __m512i threshold = _mm512_sub_epi32(_mm512_srli_epi32(mask, 1), _mm512_srai_epi32(x, 31));
    const __mmask16 up = _mm512_cmpgt_epi32_mask(_mm512_and_si512(x, mask), threshold);
    const __m512i shifted = _mm512_srav_epi32(x, exponent);
    return _mm512_mask_add_epi32(shifted, up, shifted, one);
}

/* edged_requantise with TFLite's multiplier and shift, per lane. */
static inline __m512i edged_requantise_x16(__m512i x, __m512i multiplier, __m512i shift) {
    const __m512i zero = _mm512_setzero_si512();
    const __m512i left = _mm512_max_epi32(shift, zero), right = _mm512_max_epi32(_mm512_sub_epi32(zero, shift), zero);
    return edged_rounding_shift_x16(edged_doubling_high_mul_x16(_mm512_sllv_epi32(x, left), multiplier), right);
}

/* A fast form of the same in floats, for sums that a positive shift does not wrap. With n = max(-shift, 0), both roundings of
 * TFLite together are one rounding to nearest of x * m * 2^-(31+n) + sign(x) * 2^-(n+1) (without the second term for n = 0): the
 * first rounding only moves the threshold of the second one, by half a step, away from zero. Floats get that sum to within 3 *
 * 2^-24 of itself; where it lies so near to a threshold that this could matter, `doubt` gets near 0.5 and the caller must take
 * edged_requantise_x16. Results beyond +-256 only matter as too large. */
#define EDGED_DOUBT 0.49995f

typedef struct edged_scale_x16 {
    __m512 scale, nudge;
} edged_scale_x16;

static inline edged_scale_x16 edged_scale_x16_of(__m512i multiplier, __m512i shift) {
    const __m512i one = _mm512_set1_epi32(1);
    edged_scale_x16 s;
    s.scale = _mm512_scalef_ps(_mm512_cvtepi32_ps(multiplier), _mm512_cvtepi32_ps(_mm512_sub_epi32(shift, _mm512_set1_epi32(31))));
    s.nudge = _mm512_scalef_ps(_mm512_set1_ps(1.0f), _mm512_cvtepi32_ps(_mm512_sub_epi32(shift, one)));
    s.nudge = _mm512_maskz_mov_ps(_mm512_cmplt_epi32_mask(shift, _mm512_setzero_si512()), s.nudge);
    return s;
}

/* `held` (a constant): results are held within +-1024, for scales so large that most sums saturate: beyond, floats are so coarse
 * that many would seem to be in doubt. */
static inline __attribute__((always_inline)) __m512i edged_scale_x16_do(edged_scale_x16 s, __m512i x, __m512 *doubt,
                                                                        const int held) {
    const __m512 real = _mm512_cvtepi32_ps(x);
    const __m512i sign = _mm512_set1_epi32(INT32_MIN);
    const __m512i nudge = _mm512_ternarylogic_epi32(_mm512_castps_si512(real), sign, _mm512_castps_si512(s.nudge), 0xEA);
    __m512 scaled = _mm512_fmadd_ps(real, s.scale, _mm512_castsi512_ps(nudge));
    if (held) scaled = _mm512_range_ps(scaled, _mm512_set1_ps(1024.0f), 0x02);
    *doubt = _mm512_range_ps(*doubt, _mm512_reduce_ps(scaled, 0), 0x0B);  /* the larger magnitude */
    return _mm512_cvtps_epi32(scaled);
}

static inline int edged_in_doubt(__m512 doubt) { return _mm512_cmp_ps_mask(doubt, _mm512_set1_ps(EDGED_DOUBT), _CMP_GT_OQ) != 0; }

/* n bytes of `from`, each xor 0x80 (int8 <-> uint8 with another zero point). */
static inline void edged_copy_xor80_avx512(uint8_t *to, const int8_t *from, ptrdiff_t n) {
    const __m512i flip = _mm512_set1_epi8((char)-128);
    for (; n > 64; n -= 64, to += 64, from += 64) _mm512_storeu_si512(to, _mm512_xor_si512(_mm512_loadu_si512(from), flip));
    const __mmask64 mask = edged_mask64(n);
    _mm512_mask_storeu_epi8(to, mask, _mm512_xor_si512(_mm512_maskz_loadu_epi8(mask, from), flip));
}

static inline void edged_fill_avx512(uint8_t *to, ptrdiff_t n, int value) {
    const __m512i v = _mm512_set1_epi8((char)value);
    for (; n > 64; n -= 64, to += 64) _mm512_storeu_si512(to, v);
    _mm512_mask_storeu_epi8(to, edged_mask64(n), v);
}

#endif
