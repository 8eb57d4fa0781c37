/* Quantised 8-bit pairs, AVX-512: sixteen lanes of int32, TFLite's double rounding.
 *
 * Multipliers and shifts are the same for all elements, so the doubling high multiply takes the doubled operand's upper
 * half: the rounding constant of the product is one addition, both halves are merged by one shuffle. Sums of two scaled
 * operands stay within 30 bits.
 */
#include "../simd_avx512.h"
#include "rows.h"

#define INLINE static inline __attribute__((always_inline))

typedef struct factor {
    __m512i multiplier, mask, half;
    __m128i right, left;
} factor;

INLINE factor factor_of(int32_t multiplier, int32_t shift) {
    const int32_t right = shift < 0 ? -shift : 0;
    factor f = {.multiplier = _mm512_set1_epi32(multiplier)};
    f.right = _mm_cvtsi32_si128(right);
    f.left = _mm_cvtsi32_si128(shift > 0 ? shift : 0);
    f.half = _mm512_set1_epi32(right > 0 ? 1 << (right - 1) : 0);
    f.mask = _mm512_set1_epi32(right > 0 ? -1 : 0);
    return f;
}

/* edged_requantise: the high multiply, then a shift whose ties go away from zero. */
INLINE __m512i scaled(__m512i x, const factor *f) {
    const __m512i nudge = _mm512_set1_epi64(INT64_C(1) << 30);
    x = _mm512_sll_epi32(x, f->left);
    const __m512i even = _mm512_add_epi64(_mm512_mul_epi32(x, f->multiplier), nudge);
    const __m512i odd = _mm512_add_epi64(_mm512_mul_epi32(_mm512_srli_epi64(x, 32), f->multiplier), nudge);
    const __m512i high = _mm512_mask_blend_epi32(0xAAAA, _mm512_srli_epi64(even, 31), _mm512_slli_epi64(odd, 1));
    const __m512i ties = _mm512_add_epi32(high, _mm512_and_si512(_mm512_srai_epi32(high, 31), f->mask));
    return _mm512_sra_epi32(_mm512_add_epi32(ties, f->half), f->right);
}

typedef struct constants {
    factor a, b, out;
    __m512i zero_a, zero_b, zero_out, low, high;
    __m128i left;
} constants;

INLINE constants constants_of(const edged_binary_q_params *p) {
    constants k = {.a = factor_of(p->mul_a, p->shift_a), .b = factor_of(p->mul_b, p->shift_b), .out = factor_of(p->mul_out, p->shift_out)};
    k.zero_a = _mm512_set1_epi32(p->zero_a);
    k.zero_b = _mm512_set1_epi32(p->zero_b);
    k.zero_out = _mm512_set1_epi32(p->zero_out);
    k.low = _mm512_set1_epi32(p->low);
    k.high = _mm512_set1_epi32(p->high);
    k.left = _mm_cvtsi32_si128(p->left);
    return k;
}

enum kind { ADD, SUB, MUL };

INLINE __m512i left_operand(const int KIND, __m512i x, const constants *k) {
    x = _mm512_sub_epi32(x, k->zero_a);
    return KIND == MUL ? x : scaled(_mm512_sll_epi32(x, k->left), &k->a);
}

INLINE __m512i right_operand(const int KIND, __m512i y, const constants *k) {
    y = _mm512_sub_epi32(y, k->zero_b);
    return KIND == MUL ? y : scaled(_mm512_sll_epi32(y, k->left), &k->b);
}

INLINE __m512i wide(const int8_t *from, ptrdiff_t i, __mmask16 mask) {
    return _mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(mask, from + i));
}

/* One row; a stride of 0 repeats one element, whose scaling is then done once. */
INLINE void row_of(const int KIND, const constants *k, int8_t *out, const int8_t *a, const int8_t *b, int32_t n, int32_t sa, int32_t sb) {
    const __m512i first_a = left_operand(KIND, _mm512_set1_epi32(a[0]), k), first_b = right_operand(KIND, _mm512_set1_epi32(b[0]), k);
    for (int32_t i = 0; i < n; i += 16) {
        const __mmask16 mask = edged_mask16(n - i);
        const __m512i x = sa ? left_operand(KIND, wide(a, i, mask), k) : first_a;
        const __m512i y = sb ? right_operand(KIND, wide(b, i, mask), k) : first_b;
        const __m512i both = KIND == ADD ? _mm512_add_epi32(x, y) : KIND == SUB ? _mm512_sub_epi32(x, y) : _mm512_mullo_epi32(x, y);
        const __m512i v = _mm512_add_epi32(scaled(both, &k->out), k->zero_out);
        _mm_mask_storeu_epi8(out + i, mask, _mm512_cvtepi32_epi8(_mm512_min_epi32(_mm512_max_epi32(v, k->low), k->high)));
    }
}

#define Q_KERNEL(function, KIND)                                                                                                \
    void function(const void *params, void *const *operands, const edged_task *task) {                                           \
        const edged_rows *r = params;                                                                                            \
        const constants k = constants_of(params);                                                                                \
        EDGED_FOR_ROWS(r, task, row) {                                                                                           \
            row_of(KIND, &k, (int8_t *)operands[0] + row.out, (const int8_t *)operands[1] + row.a,                               \
                   (const int8_t *)operands[2] + row.b, row.n, r->a[4], r->b[4]);                                                \
        }                                                                                                                        \
    }

Q_KERNEL(add_s8_avx512, ADD)
Q_KERNEL(sub_s8_avx512, SUB)
Q_KERNEL(mul_s8_avx512, MUL)
