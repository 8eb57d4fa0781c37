/* f32 pooling, AVX-512: 16 channels of one window in a register, the last ones masked. */
#include "../simd_avx512.h"
#include "window.h"

#define INLINE static inline __attribute__((always_inline))

enum kind { MAXIMUM, AVERAGE, ROOT };

INLINE void window_of(const int KIND, float *out, const float *in, window w, const edged_pool_f32_params *p) {
    const __m512 low = _mm512_set1_ps(p->low), high = _mm512_set1_ps(p->high);
    const __m512 count = _mm512_set1_ps((float)((w.y1 - w.y0) * (w.x1 - w.x0)));
    for (int32_t c = 0; c < p->channels; c += 16) {
        const __mmask16 mask = edged_mask16(p->channels - c);
        __m512 acc = KIND == MAXIMUM ? _mm512_set1_ps(-__builtin_inff()) : _mm512_setzero_ps();
        for (int32_t y = w.y0; y < w.y1; y++) {
            const float *from = in + ((ptrdiff_t)y * p->in_w + w.x0) * p->channels + c;
            for (int32_t x = w.x0; x < w.x1; x++, from += p->channels) {
                const __m512 v = _mm512_maskz_loadu_ps(mask, from);
                acc = KIND == MAXIMUM ? _mm512_max_ps(v, acc) : KIND == AVERAGE ? _mm512_add_ps(acc, v) : _mm512_fmadd_ps(v, v, acc);
            }
        }
        acc = KIND == MAXIMUM ? acc : _mm512_div_ps(acc, count);
        acc = KIND == ROOT ? _mm512_sqrt_ps(acc) : acc;
        _mm512_mask_storeu_ps(out + c, mask, _mm512_min_ps(_mm512_max_ps(acc, low), high));
    }
}

/* pool and pool_f32 begin with the same fields, which is all that window_at reads. */
#define POOL(function, KIND)                                                                                                    \
    void function(const void *params, void *const *operands, const edged_task *task) {                                           \
        const edged_pool_f32_params *p = params;                                                                                 \
        for (uint32_t row = task->begin; row < task->end; row++) {                                                               \
            const int32_t image = (int32_t)row / p->out_h, y = (int32_t)row % p->out_h;                                          \
            const float *in = (const float *)operands[1] + (ptrdiff_t)image * p->in_h * p->in_w * p->channels;                   \
            float *out = (float *)operands[0] + (ptrdiff_t)row * p->out_w * p->channels;                                         \
            for (int32_t x = 0; x < p->out_w; x++, out += p->channels) window_of(KIND, out, in, window_at(params, y, x), p);     \
        }                                                                                                                        \
    }

POOL(max_pool_f32_avx512, MAXIMUM)
POOL(average_pool_f32_avx512, AVERAGE)
POOL(l2_pool_f32_avx512, ROOT)
