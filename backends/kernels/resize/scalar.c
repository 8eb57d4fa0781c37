/* Resizing, portable C. */
#define KERNEL_NAME(op) op##_scalar
#include "bilinear.inc"

#include <string.h>

void resize_nearest_scalar(const void *params, void *const *operands, const edged_task *task) {
    const edged_resize_nearest_params *p = params;
    const int32_t *rows = operands[2], *columns = operands[3];
    const size_t pixel = (size_t)p->pixel, line = (size_t)p->in_w * pixel;
    for (uint32_t row = task->begin; row < task->end; row++) {
        const uint32_t image = row / (uint32_t)p->out_h, y = row % (uint32_t)p->out_h;
        const char *in = (const char *)operands[1] + ((size_t)image * (size_t)p->in_h + (size_t)rows[y]) * line;
        char *out = (char *)operands[0] + (size_t)row * (size_t)p->out_w * pixel;
        for (int32_t x = 0; x < p->out_w; x++, out += pixel) memcpy(out, in + (size_t)columns[x] * pixel, pixel);
    }
}

/* TFLite's ResizeBilinearInteger: positions and weights in units of 1/1024 (operands 4 and 7 are the i32 weight of the upper pixel), the result
 * rounded half away from zero. */
void resize_bilinear_s8_scalar(const void *params, void *const *operands, const edged_task *task) {
    const edged_resize_bilinear_params *p = params;
    const int32_t *y_low = operands[2], *y_high = operands[3], *x_low = operands[5], *x_high = operands[6];
    const int32_t *y_part = operands[4], *x_part = operands[7];
    const ptrdiff_t line = (ptrdiff_t)p->in_w * p->channels;
    for (uint32_t row = task->begin; row < task->end; row++) {
        const int32_t image = (int32_t)row / p->out_h, y = (int32_t)row % p->out_h;
        const int8_t *in = (const int8_t *)operands[1] + (ptrdiff_t)image * p->in_h * line;
        int8_t *out = (int8_t *)operands[0] + (ptrdiff_t)row * p->out_w * p->channels;
        for (int32_t x = 0; x < p->out_w; x++, out += p->channels) {
            const int8_t *a = in + y_low[y] * line, *b = in + y_high[y] * line;
            const ptrdiff_t left = (ptrdiff_t)x_low[x] * p->channels, right = (ptrdiff_t)x_high[x] * p->channels;
            const int32_t v = y_part[y], u = x_part[x];
            for (int32_t i = 0; i < p->channels; i++) {
                const int32_t sum = a[left + i] * (1024 - v) * (1024 - u) + b[left + i] * v * (1024 - u) +
                                    a[right + i] * (1024 - v) * u + b[right + i] * v * u;
                const int32_t half = sum > 0 ? 1 << 19 : -(1 << 19);
                out[i] = (int8_t)((sum + half) / (1 << 20));
            }
        }
    }
}

/* uint8 in int8 form, through floats, as TFLite does: rounded up from one half. */
void resize_bilinear_u8_scalar(const void *params, void *const *operands, const edged_task *task) {
    const edged_resize_bilinear_params *p = params;
    const int32_t *y_low = operands[2], *y_high = operands[3], *x_low = operands[5], *x_high = operands[6];
    const ptrdiff_t line = (ptrdiff_t)p->in_w * p->channels;
    for (uint32_t row = task->begin; row < task->end; row++) {
        const int32_t image = (int32_t)row / p->out_h, y = (int32_t)row % p->out_h;
        const uint8_t *in = (const uint8_t *)operands[1] + (ptrdiff_t)image * p->in_h * line;
        const uint8_t *top = in + y_low[y] * line, *bottom = in + y_high[y] * line;
        uint8_t *out = (uint8_t *)operands[0] + (ptrdiff_t)row * p->out_w * p->channels;
        for (int32_t x = 0; x < p->out_w; x++, out += p->channels) {
            const ptrdiff_t left = (ptrdiff_t)x_low[x] * p->channels, right = (ptrdiff_t)x_high[x] * p->channels;
            const float v = ((const float *)operands[4])[y], u = ((const float *)operands[7])[x];
            const float wa = (1 - v) * (1 - u), wb = v * (1 - u), wc = (1 - v) * u, wd = v * u;
            for (int32_t i = 0; i < p->channels; i++) {
                const float sum = (float)(top[left + i] ^ 0x80) * wa + (float)(bottom[left + i] ^ 0x80) * wb +
                                  (float)(top[right + i] ^ 0x80) * wc + (float)(bottom[right + i] ^ 0x80) * wd;
                out[i] = (uint8_t)((int32_t)(sum + 0.5f) ^ 0x80);
            }
        }
    }
}
