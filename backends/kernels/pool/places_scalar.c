/* Maxima of windows with their places, and the places within windows as elements of the image that they were taken from (MediaPipe's
 * max_pool_argmax.cc, max_unpooling.cc; LiteRT's max_unpooling_2d). */
#include <math.h>
#include <stddef.h>

#include "../abi.h"
#include "../params.h"

/* The first of equals; NaN counts as greatest, as it does in NumPy. Padding is never greater than what is there. */
static int32_t greatest(const edged_pool_places_params *p, const float *image, int32_t y, int32_t x, float *value) {
    int32_t place = 0;
    float best = -INFINITY;
    for (int32_t ky = 0; ky < p->kernel_h; ky++) {
        for (int32_t kx = 0; kx < p->kernel_w; kx++) {
            const int32_t iy = y + ky, ix = x + kx;
            if (iy < 0 || iy >= p->in_h || ix < 0 || ix >= p->in_w) continue;
            const float v = image[((ptrdiff_t)iy * p->in_w + ix) * p->channels];
            if (v > best || (v != v && best == best)) best = v, place = ky * p->kernel_w + kx;
        }
    }
    *value = best;
    return place;
}

void pool_places_scalar(const void *params, void *const *operands, const edged_task *task) {
    const edged_pool_places_params *p = params;
    const ptrdiff_t channels = p->channels;
    for (uint32_t unit = task->begin; unit < task->end; unit++) {
        const float *image = (const float *)operands[2] + (ptrdiff_t)(unit / (uint32_t)p->out_h) * p->in_h * p->in_w * channels;
        const int32_t y = (int32_t)(unit % (uint32_t)p->out_h) * p->stride_h - p->pad_top;
        for (int32_t i = 0; i < p->out_w * p->channels; i++) {
            const int32_t c = i % p->channels, x = i / p->channels * p->stride_w - p->pad_left;
            const ptrdiff_t at = (ptrdiff_t)unit * p->out_w * channels + i;
            const int32_t place = greatest(p, image + c, y, x, (float *)operands[0] + at);
            const int32_t row = y + place / p->kernel_w, column = x + place % p->kernel_w;
            if (p->inside) ((float *)operands[1])[at] = (float)place + 0.1f;
            else ((int32_t *)operands[1])[at] = (row * p->in_w + column) * p->channels + c;
        }
    }
}

void place_elements_scalar(const void *params, void *const *operands, const edged_task *task) {
    const edged_place_elements_params *p = params;
    for (uint32_t i = task->begin; i < task->end; i++) {
        const float found = ((const float *)operands[1])[i];
        const int32_t place = found > -1.0f && found < 1e6f ? (int32_t)found : -1;
        const int32_t c = (int32_t)(i % (uint32_t)p->channels), pixel = (int32_t)(i / (uint32_t)p->channels);
        const int32_t x = pixel % p->in_w * p->stride_w - p->pad_left, y = pixel / p->in_w % p->in_h * p->stride_h - p->pad_top;
        const int32_t row = y + place / p->kernel_w, column = x + place % p->kernel_w;
        const int there = place >= 0 && row >= 0 && row < p->out_h && column >= 0 && column < p->out_w;
        ((int32_t *)operands[0])[i] = there ? (row * p->out_w + column) * p->channels + c : -1;
    }
}
