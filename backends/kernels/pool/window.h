/* Which input elements a pooling window covers. */
#ifndef EDGED_POOL_WINDOW_H
#define EDGED_POOL_WINDOW_H

#include "../abi.h"
#include "../params.h"

/* The part of a window that lies inside the input. */
typedef struct window {
    int32_t y0, y1, x0, x1;
} window;

static inline window window_at(const edged_pool_params *p, int32_t y, int32_t x) {
    const int32_t top = y * p->stride_h - p->pad_top, left = x * p->stride_w - p->pad_left;
    const int32_t bottom = top + p->kernel_h, right = left + p->kernel_w;
    return (window){top < 0 ? 0 : top, bottom > p->in_h ? p->in_h : bottom, left < 0 ? 0 : left, right > p->in_w ? p->in_w : right};
}

#endif
