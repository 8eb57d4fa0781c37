/* 8-bit tables, AVX-512: the table as 128 words in four registers, looked up by the upper seven bits; the lowest picks the byte. */
#include "../abi.h"

#include <immintrin.h>

/* Table bytes of 32 indices in words. */
static inline __m512i look_up(__m512i index, __m512i t0, __m512i t1, __m512i t2, __m512i t3) {
    const __m512i word = _mm512_srli_epi16(index, 1), bit = _mm512_and_si512(index, _mm512_set1_epi16(1));
    const __m512i low = _mm512_permutex2var_epi16(t0, word, t1), high = _mm512_permutex2var_epi16(t2, word, t3);
    const __m512i pair = _mm512_mask_blend_epi16(_mm512_test_epi16_mask(index, _mm512_set1_epi16(128)), low, high);
    return _mm512_and_si512(_mm512_srlv_epi16(pair, _mm512_slli_epi16(bit, 3)), _mm512_set1_epi16(255));
}

void lut_s8_avx512(const void *params, void *const *operands, const edged_task *task) {
    (void)params;
    uint8_t *out = operands[0];
    const uint8_t *in = operands[1], *table = operands[2];
    const __m512i t0 = _mm512_loadu_si512(table), t1 = _mm512_loadu_si512(table + 64), t2 = _mm512_loadu_si512(table + 128),
                  t3 = _mm512_loadu_si512(table + 192);
    for (uint32_t i = task->begin; i < task->end; i += 64) {
        const uint32_t left = task->end - i;
        const __mmask64 mask = left >= 64 ? ~UINT64_C(0) : (UINT64_C(1) << left) - 1;
        const __m512i x = _mm512_maskz_loadu_epi8(mask, in + i);
        const __m512i even = look_up(_mm512_and_si512(x, _mm512_set1_epi16(255)), t0, t1, t2, t3);
        const __m512i odd = look_up(_mm512_srli_epi16(x, 8), t0, t1, t2, t3);
        _mm512_mask_storeu_epi8(out + i, mask, _mm512_or_si512(even, _mm512_slli_epi16(odd, 8)));
    }
}
