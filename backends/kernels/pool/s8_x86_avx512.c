/* 8-bit pooling, AVX-512: 64 (maximum) or 32 (average) channels of one window in a register, the last ones masked.
 *
 * The average divides in floats, which is exact while sum + count / 2 is below 2^24: windows of up to 32,768 elements (larger ones go to the scalar
 * kernel).
 */
#include "../simd_avx512.h"
#include "window.h"

edged_kernel average_pool_s8_scalar;

static void max_window(int8_t *out, const int8_t *in, window w, const edged_pool_params *p) {
    const __m512i low = _mm512_set1_epi8((char)p->low), high = _mm512_set1_epi8((char)p->high);
    for (int32_t c = 0; c < p->channels; c += 64) {
        const __mmask64 mask = edged_mask64(p->channels - c);
        __m512i best = _mm512_set1_epi8(INT8_MIN);
        for (int32_t y = w.y0; y < w.y1; y++) {
            const int8_t *from = in + ((ptrdiff_t)y * p->in_w + w.x0) * p->channels + c;
            for (int32_t x = w.x0; x < w.x1; x++, from += p->channels) best = _mm512_max_epi8(best, _mm512_maskz_loadu_epi8(mask, from));
        }
        _mm512_mask_storeu_epi8(out + c, mask, _mm512_min_epi8(_mm512_max_epi8(best, low), high));
    }
}

/* (sum + half away from zero) / count, then less what it was lifted by, within the clamp. */
static inline __m128i average(__m512i sum, int32_t count, const edged_pool_params *p) {
    sum = _mm512_add_epi32(sum, _mm512_set1_epi32(p->lift * count));
    const __mmask16 positive = _mm512_cmpgt_epi32_mask(sum, _mm512_setzero_si512());
    const __m512i half = _mm512_set1_epi32(count / 2);
    const __m512i away = _mm512_mask_add_epi32(_mm512_sub_epi32(sum, half), positive, sum, half);
    const __m512 share = _mm512_div_ps(_mm512_cvtepi32_ps(away), _mm512_set1_ps((float)count));
    const __m512i v = _mm512_sub_epi32(_mm512_cvttps_epi32(share), _mm512_set1_epi32(p->lift));
    return _mm512_cvtepi32_epi8(_mm512_min_epi32(_mm512_max_epi32(v, _mm512_set1_epi32(p->low)), _mm512_set1_epi32(p->high)));
}

static void average_window(int8_t *out, const int8_t *in, window w, const edged_pool_params *p) {
    const int32_t count = (w.y1 - w.y0) * (w.x1 - w.x0);
    for (int32_t c = 0; c < p->channels; c += 32) {
        const __mmask32 mask = (__mmask32)edged_mask64(p->channels - c < 32 ? p->channels - c : 32);
        __m512i first = _mm512_setzero_si512(), second = first;
        for (int32_t y = w.y0; y < w.y1; y++) {
            const int8_t *from = in + ((ptrdiff_t)y * p->in_w + w.x0) * p->channels + c;
            for (int32_t x = w.x0; x < w.x1; x++, from += p->channels) {
                const __m256i bytes = _mm256_maskz_loadu_epi8(mask, from);
                first = _mm512_add_epi32(first, _mm512_cvtepi8_epi32(_mm256_castsi256_si128(bytes)));
                second = _mm512_add_epi32(second, _mm512_cvtepi8_epi32(_mm256_extracti128_si256(bytes, 1)));
            }
        }
        _mm_mask_storeu_epi8(out + c, (__mmask16)mask, average(first, count, p));
        if (mask >> 16) _mm_mask_storeu_epi8(out + c + 16, (__mmask16)(mask >> 16), average(second, count, p));
    }
}

#define WINDOWS(function)                                                                                                       \
    for (uint32_t row = task->begin; row < task->end; row++) {                                                                   \
        const int32_t image = (int32_t)row / p->out_h, y = (int32_t)row % p->out_h;                                              \
        const int8_t *in = (const int8_t *)operands[1] + (ptrdiff_t)image * p->in_h * p->in_w * p->channels;                     \
        int8_t *out = (int8_t *)operands[0] + (ptrdiff_t)row * p->out_w * p->channels;                                           \
        for (int32_t x = 0; x < p->out_w; x++, out += p->channels) function(out, in, window_at(p, y, x), p);                     \
    }

void max_pool_s8_avx512(const void *params, void *const *operands, const edged_task *task) {
    const edged_pool_params *p = params;
    WINDOWS(max_window)
}

void average_pool_s8_avx512(const void *params, void *const *operands, const edged_task *task) {
    const edged_pool_params *p = params;
    if (p->kernel_h * p->kernel_w > 32768) {
        average_pool_s8_scalar(params, operands, task);
        return;
    }
    WINDOWS(average_window)
}
