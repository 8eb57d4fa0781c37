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

/* Constants of a short form of the same for shifts in EDGED_SHORT_SHIFT_MIN..-1: with n = -shift, both roundings are one floor,
 * (x * m + 2^30 + (2^(n-1) - (x < 0)) * 2^31 + output_zero * 2^(31+n)) >> (31 + n), since floors of nested divisions
 * compose; it is exact for every x, and includes the output's zero point. */
enum { EDGED_SHORT_SHIFT_MIN = -22 };

typedef struct edged_requant_x16 {
    int32_t even[16], odd[16];      /* multipliers; odd: lane 2i holds lane 2i+1's */
    int64_t add_even[8], add_odd[8];
    int32_t shift[16];              /* n - 1: what is left of the shift after dropping the low 32 bits */
} edged_requant_x16;

static inline void edged_requant_x16_set(edged_requant_x16 *c, __m512i multiplier, __m512i shift, int32_t output_zero) {
    const __m512i n = _mm512_sub_epi32(_mm512_setzero_si512(), shift);
    const __m512i nudge = _mm512_set1_epi64(INT64_C(1) << 30);
    const __m512i unit = _mm512_set1_epi64(INT64_C(1) << 30), zero = _mm512_set1_epi64((int64_t)output_zero * 2);
    const __m512i low = _mm512_set1_epi64(0xFFFFFFFF);
    const __m512i n_even = _mm512_and_si512(n, low), n_odd = _mm512_srli_epi64(n, 32);
    /* (2^(n-1) << 31) = 2^30 << n; output_zero << (31 + n) = (output_zero * 2 << 30) << n. */
    const __m512i scale = _mm512_add_epi64(unit, _mm512_slli_epi64(zero, 30));
    _mm512_storeu_si512(c->even, multiplier);
    _mm512_storeu_si512(c->odd, _mm512_srli_epi64(multiplier, 32));
    _mm512_storeu_si512(c->add_even, _mm512_add_epi64(nudge, _mm512_sllv_epi64(scale, n_even)));
    _mm512_storeu_si512(c->add_odd, _mm512_add_epi64(nudge, _mm512_sllv_epi64(scale, n_odd)));
    _mm512_storeu_si512(c->shift, _mm512_sub_epi32(n, _mm512_set1_epi32(1)));
}

/* requantise(x) + output_zero. */
static inline __m512i edged_requant_x16_do(const edged_requant_x16 *c, __m512i x) {
    const __m512i sign = _mm512_set1_epi64(INT64_C(1) << 31);
    const __m512i odd = _mm512_srli_epi64(x, 32);
    __m512i te = _mm512_mul_epi32(x, _mm512_loadu_si512(c->even));
    __m512i to = _mm512_mul_epi32(odd, _mm512_loadu_si512(c->odd));
    te = _mm512_add_epi64(te, _mm512_sub_epi64(_mm512_loadu_si512(c->add_even), _mm512_and_si512(x, sign)));
    to = _mm512_add_epi64(to, _mm512_sub_epi64(_mm512_loadu_si512(c->add_odd), _mm512_and_si512(odd, sign)));
    const __m512i high = _mm512_mask_shuffle_epi32(to, 0x5555, te, (_MM_PERM_ENUM)0xF5);
    return _mm512_srav_epi32(high, _mm512_loadu_si512(c->shift));
}

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
