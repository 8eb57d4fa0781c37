/* Depthwise int8, AVX2: taps two by two as int16 pairs (vpmaddwd), 16 channels of one output at a time.
 *
 * Weights [vectors][(taps + 1) / 2][2][16] int16: for a pair of taps, channels 0-3 and 8-11 of the vector, then 4-7 and
 * 12-15, each (first tap, second tap): the order that unpacking gives. Bias (input_zero * sum of weights taken off),
 * multiplier and shift are [vectors][16] in the order 0-3, 8-11, 4-7, 12-15. The last vector begins at channels - 16
 * where it would stand over. Taps outside the input read zero points. With a multiplier, weights are the plain ones,
 * and computed as such. Scratch: in_w * channels + 64 bytes. What the requantisation needs is stated in s8_x86_vnni.c.
 */
#include "../abi.h"
#include "../params.h"
#include "taps.h"

#include <immintrin.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

enum { MOST_TAPS = 128 };

edged_kernel dw_s8_scalar;

typedef struct scales {
    __m256i bias, left, even, odd, even_addend, odd_addend, negative, right;
} scales;

static scales scales_of(const edged_depthwise_s8_params *p, void *const *operands, int32_t at) {
    const __m256i multiplier = _mm256_loadu_si256((const __m256i *)((const int32_t *)operands[4] + at));
    const __m256i shift = _mm256_loadu_si256((const __m256i *)((const int32_t *)operands[5] + at));
    const __m256i zero = _mm256_setzero_si256(), one = _mm256_set1_epi32(1), rounding = _mm256_set1_epi64x(INT64_C(1) << 31);
    const __m256i twice = _mm256_add_epi32(multiplier, multiplier), upper = _mm256_set1_epi64x((int64_t)0xFFFFFFFF00000000ull);
    scales s;
    s.bias = _mm256_loadu_si256((const __m256i *)((const int32_t *)operands[3] + at));
    s.left = _mm256_max_epi32(shift, zero);
    s.right = _mm256_max_epi32(_mm256_sub_epi32(zero, shift), zero);
    const __m256i shifted = _mm256_cmpgt_epi32(s.right, zero);
    const __m256i half = _mm256_and_si256(_mm256_sllv_epi32(one, _mm256_sub_epi32(s.right, one)), shifted);
    const __m256i addend = _mm256_add_epi32(half, _mm256_sllv_epi32(_mm256_set1_epi32(p->output_zero), s.right));
    s.even = twice;
    s.odd = _mm256_srli_epi64(twice, 32);
    s.even_addend = _mm256_add_epi64(_mm256_slli_epi64(addend, 32), rounding);
    s.odd_addend = _mm256_add_epi64(_mm256_and_si256(addend, upper), rounding);
    s.negative = _mm256_sub_epi32(twice, shifted);
    return s;
}

INLINE __m256i requantise(__m256i acc, const scales *s) {
    acc = _mm256_sllv_epi32(acc, s->left);
    const __m256i even = _mm256_add_epi64(_mm256_mul_epu32(acc, s->even), s->even_addend);
    const __m256i odd = _mm256_add_epi64(_mm256_mul_epu32(_mm256_srli_epi64(acc, 32), s->odd), s->odd_addend);
    const __m256i high = _mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xAA);
    return _mm256_srav_epi32(_mm256_sub_epi32(high, _mm256_and_si256(_mm256_srai_epi32(acc, 31), s->negative)), s->right);
}

/* The taps of some outputs: an even number of pointers. */
typedef struct row_taps {
    const int8_t *from[MOST_TAPS + 1];
    int32_t pairs;
} row_taps;

/* 16 bytes, or the first `n` of them. */
INLINE __m256i widened(const int8_t *from, int32_t n) {
    if (n == 16) return _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)from));
    if (n == 8) return _mm256_cvtepi8_epi16(_mm_loadl_epi64((const __m128i *)from));
    int8_t bytes[16] = {0};
    memcpy(bytes, from, (size_t)n);
    return _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)bytes));
}

/* N outputs, `step` bytes of input apart, of one vector of channels. */
INLINE void tile(const int N, const row_taps *t, ptrdiff_t at, ptrdiff_t step, const int16_t *weights, const scales *s0, const scales *s1,
                 __m128i low, __m128i high, int8_t *out, ptrdiff_t out_step, int32_t n) {
    __m256i first[4], second[4];
#pragma GCC unroll 4
    for (int i = 0; i < N; i++) first[i] = s0->bias, second[i] = s1->bias;
    for (int32_t k = 0; k < t->pairs; k++, weights += 32) {
        const __m256i w0 = _mm256_loadu_si256((const __m256i *)weights), w1 = _mm256_loadu_si256((const __m256i *)(weights + 16));
        const int8_t *a = t->from[2 * k] + at, *b = t->from[2 * k + 1] + at;
#pragma GCC unroll 4
        for (int i = 0; i < N; i++) {
            const __m256i x = widened(a + i * step, n), y = widened(b + i * step, n);
            first[i] = _mm256_add_epi32(first[i], _mm256_madd_epi16(_mm256_unpacklo_epi16(x, y), w0));
            second[i] = _mm256_add_epi32(second[i], _mm256_madd_epi16(_mm256_unpackhi_epi16(x, y), w1));
        }
    }
#pragma GCC unroll 4
    for (int i = 0; i < N; i++) {
        const __m256i words = _mm256_packs_epi32(requantise(first[i], s0), requantise(second[i], s1));
        const __m128i bytes = _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
        const __m128i kept = _mm_min_epi8(_mm_max_epi8(bytes, low), high);
        if (n == 16) {
            _mm_storeu_si128((__m128i *)(out + i * out_step), kept);
        } else if (n == 8) {
            _mm_storel_epi64((__m128i *)(out + i * out_step), kept);
        } else {
            int8_t all[16];
            _mm_storeu_si128((__m128i *)all, kept);
            memcpy(out + i * out_step, all, (size_t)n);
        }
    }
}

/* `count` outputs in a row that have the same taps, all channels. */
static void run(const edged_depthwise_s8_params *p, void *const *operands, const row_taps *t, int32_t count, int8_t *out) {
    const __m128i low = _mm_set1_epi8((char)p->act_min), high = _mm_set1_epi8((char)p->act_max);
    const ptrdiff_t step = (ptrdiff_t)p->stride_w * p->channels, pitch = p->channels;
    for (int32_t v = 0; 16 * v < p->channels; v++) {
        const int32_t c = 16 * v + 16 <= p->channels ? 16 * v : p->channels >= 16 ? p->channels - 16 : 0;
        const int16_t *weights = (const int16_t *)operands[2] + (ptrdiff_t)v * t->pairs * 32;
        const scales s0 = scales_of(p, operands, 16 * v), s1 = scales_of(p, operands, 16 * v + 8);
        const int32_t n = p->channels < 16 ? p->channels : 16;
#define ALONG(CHANNELS)                                                                                                         \
    {                                                                                                                            \
        int32_t i = 0;                                                                                                           \
        for (; i + 2 <= count; i += 2) {                                                                                         \
            tile(2, t, i * step + c, step, weights, &s0, &s1, low, high, out + i * pitch + c, pitch, CHANNELS);                  \
        }                                                                                                                        \
        if (i < count) tile(1, t, i * step + c, step, weights, &s0, &s1, low, high, out + i * pitch + c, pitch, CHANNELS);       \
    }
        if (n == 16) {
            ALONG(16)
        } else if (n == 8) {
            ALONG(8)
        } else {
            ALONG(n)
        }
    }
}

static void row_of(const edged_depthwise_s8_params *p, void *const *operands, uint32_t unit, const int8_t *nowhere) {
    const int32_t image = (int32_t)unit / p->out_h, y = (int32_t)unit % p->out_h, taps = p->kernel_h * p->kernel_w;
    const int8_t *in = (const int8_t *)operands[1] + (ptrdiff_t)image * p->in_h * p->in_w * p->channels;
    int8_t *out = (int8_t *)operands[0] + (ptrdiff_t)unit * p->out_w * p->channels;
    const int32_t last = p->in_w + p->pad_left - (p->kernel_w - 1) * p->dilation_w - 1;
    row_taps t = {.pairs = (taps + 1) / 2};
    for (int32_t x = 0; x < p->out_w;) {
        const int32_t left = x * p->stride_w - p->pad_left;
        const int32_t whole = left >= 0 && x * p->stride_w <= last ? last / p->stride_w + 1 - x : 0;
        const int32_t count = whole <= 0 ? 1 : whole < p->out_w - x ? whole : p->out_w - x;
        for (int32_t k = 0; k < taps; k++) {
            const int32_t row = y * p->stride_h - p->pad_top + k / p->kernel_w * p->dilation_h, column = left + k % p->kernel_w * p->dilation_w;
            const int inside = row >= 0 && row < p->in_h && column >= 0 && column < p->in_w;
            t.from[k] = inside ? in + ((ptrdiff_t)row * p->in_w + column) * p->channels : nowhere;
        }
        t.from[taps] = t.from[taps - 1]; /* its weights are 0 where taps are odd */
        run(p, operands, &t, count, out + (ptrdiff_t)x * p->channels);
        x += count;
    }
}

void dw_s8_16c2_avx2(const void *params, void *const *operands, const edged_task *task) {
    const edged_depthwise_s8_params *p = params;
    if (p->multiplier != 1) {
        dw_s8_scalar(params, operands, task);
        return;
    }
    /* A row of zero points: an output row that lies over the edge steps along it. */
    memset(task->scratch, p->input_zero, (size_t)p->in_w * (size_t)p->channels);
    for (uint32_t unit = task->begin; unit < task->end; unit++) row_of(p, operands, unit, task->scratch);
}
