/* Which taps of a depthwise kernel fall inside the input, for one output pixel. */
#ifndef EDGED_DEPTHWISE_TAPS_H
#define EDGED_DEPTHWISE_TAPS_H

#include <stdint.h>

/* Taps [y0, y1) x [x0, x1) count; tap (ky, kx) reads input (top + ky * dilation, left + kx * dilation). */
typedef struct edged_taps {
    int32_t top, left, y0, y1, x0, x1;
} edged_taps;

/* First tap at or after position 0, for a window that starts at `start`. */
static inline int32_t edged_tap_first(int32_t start, int32_t dilation) {
    return start >= 0 ? 0 : (-start + dilation - 1) / dilation;
}

/* One past the last tap before `size`. */
static inline int32_t edged_tap_end(int32_t start, int32_t dilation, int32_t taps, int32_t size) {
    const int32_t end = start >= size ? 0 : (size - start + dilation - 1) / dilation;
    return end < taps ? end : taps;
}

/* p: any params struct of this family. */
#define EDGED_TAPS(p, y, x)                                                                                                     \
    {                                                                                                                            \
        (y) * (p)->stride_h - (p)->pad_top, (x) * (p)->stride_w - (p)->pad_left,                                                 \
            edged_tap_first((y) * (p)->stride_h - (p)->pad_top, (p)->dilation_h),                                                \
            edged_tap_end((y) * (p)->stride_h - (p)->pad_top, (p)->dilation_h, (p)->kernel_h, (p)->in_h),                        \
            edged_tap_first((x) * (p)->stride_w - (p)->pad_left, (p)->dilation_w),                                               \
            edged_tap_end((x) * (p)->stride_w - (p)->pad_left, (p)->dilation_w, (p)->kernel_w, (p)->in_w)                        \
    }

#endif
