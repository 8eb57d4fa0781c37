/* The Fourier transform of real frames in 16-bit fixed point. Sums wrap around, every stage is scaled by its radix, as in KISS FFT. */
#include <stddef.h>

#include "../abi.h"
#include "../params.h"

typedef struct point {
    int16_t re, im;
} point;

static inline int16_t rounded(int64_t product) { return (int16_t)(uint16_t)(uint64_t)((product + (1 << 14)) >> 15); }
static inline int16_t wrapped(int32_t x) { return (int16_t)(uint16_t)(uint32_t)x; }
static inline point make(int32_t re, int32_t im) { const point p = {wrapped(re), wrapped(im)}; return p; }
static inline point plus(point a, point b) { return make(a.re + b.re, a.im + b.im); }
static inline point minus(point a, point b) { return make(a.re - b.re, a.im - b.im); }

static inline point times(point a, point b) {
    const point p = {rounded((int64_t)a.re * b.re - (int64_t)a.im * b.im), rounded((int64_t)a.re * b.im + (int64_t)a.im * b.re)};
    return p;
}

/* Divided by a radix, so that sums fit. */
static inline point shared(point x, int32_t count) {
    const int32_t part = INT16_MAX / count;
    const point p = {rounded((int64_t)x.re * part), rounded((int64_t)x.im * part)};
    return p;
}

static void join_four(point *x) {
    const point apart = minus(x[0], x[2]), first = plus(x[0], x[2]), both = plus(x[1], x[3]), other = minus(x[1], x[3]);
    x[0] = plus(first, both);
    x[1] = make(apart.re + other.im, apart.im - other.re);
    x[2] = minus(first, both);
    x[3] = make(apart.re - other.im, apart.im + other.re);
}

static void join_three(point *x, const point *roots, int32_t third) {
    const point both = plus(x[1], x[2]), apart = minus(x[1], x[2]);
    const point middle = make(x[0].re - (both.re >> 1), x[0].im - (both.im >> 1));
    const int32_t re = rounded((int64_t)apart.re * roots[third].im), im = rounded((int64_t)apart.im * roots[third].im);
    x[0] = plus(x[0], both);
    x[1] = make(middle.re - im, middle.im + re);
    x[2] = make(middle.re + im, middle.im - re);
}

static inline int32_t scaled(int32_t a, int32_t b) { return rounded((int64_t)a * b); }

static void join_five(point *x, const point *roots, int32_t fifth) {
    const point a = roots[fifth], b = roots[2 * fifth];
    const point outer = plus(x[1], x[4]), outer_gap = minus(x[1], x[4]), inner = plus(x[2], x[3]), inner_gap = minus(x[2], x[3]);
    const point near = make(x[0].re + scaled(outer.re, a.re) + scaled(inner.re, b.re), x[0].im + scaled(outer.im, a.re) + scaled(inner.im, b.re));
    const point far = make(x[0].re + scaled(outer.re, b.re) + scaled(inner.re, a.re), x[0].im + scaled(outer.im, b.re) + scaled(inner.im, a.re));
    const point near_turn = make(scaled(outer_gap.im, a.im) + scaled(inner_gap.im, b.im), -scaled(outer_gap.re, a.im) - scaled(inner_gap.re, b.im));
    const point far_turn = make(-scaled(outer_gap.im, b.im) + scaled(inner_gap.im, a.im), scaled(outer_gap.re, b.im) - scaled(inner_gap.re, a.im));
    x[0] = make(x[0].re + outer.re + inner.re, x[0].im + outer.im + inner.im);
    x[1] = minus(near, near_turn);
    x[2] = plus(far, far_turn);
    x[3] = minus(far, far_turn);
    x[4] = plus(near, near_turn);
}

/* One stage: p transforms of m values each, side by side, become one of p * m. */
static void stage(point *x, int32_t p, int32_t m, int32_t stride, const point *roots, int32_t size) {
    for (int32_t k = 0; k < m; k++) {
        point part[5];
        for (int32_t q = 0; q < p; q++) {
            part[q] = shared(x[q * m + k], p);
            if (q > 0) part[q] = times(part[q], roots[k * q * stride]);
        }
        if (p == 4) join_four(part);
        else if (p == 3) join_three(part, roots, size / 3);
        else if (p == 5) join_five(part, roots, size / 5);
        else {
            const point first = part[0];
            part[0] = plus(first, part[1]), part[1] = minus(first, part[1]);
        }
        for (int32_t q = 0; q < p; q++) x[q * m + k] = part[q];
    }
}

/* From the transform of pairs to that of twice as many real values. */
static void unfold(const point *x, int32_t size, const point *halfway, point *out) {
    const point first = shared(x[0], 2);
    out[0] = make(first.re + first.im, 0);
    out[size] = make(first.re - first.im, 0);
    for (int32_t k = 1; k <= size / 2; k++) {
        const point near = shared(x[k], 2), far = shared(make(x[size - k].re, -x[size - k].im), 2);
        const point even = plus(near, far), odd = times(minus(near, far), halfway[k - 1]);
        out[k] = make((even.re + odd.re) >> 1, (even.im + odd.im) >> 1);
        out[size - k] = make((even.re - odd.re) >> 1, (odd.im - even.im) >> 1);
    }
}

void signal_rfft_s16_scalar(const void *params, void *const *operands, const edged_task *task) {
    const edged_signal_rfft_params *p = params;
    const int32_t *radices = operands[2], *order = operands[3], n = p->size;
    point *x = task->scratch;
    for (uint32_t unit = task->begin; unit < task->end; unit++) {
        const int16_t *in = (const int16_t *)operands[1] + (ptrdiff_t)unit * p->length;
        for (int32_t i = 0; i < n; i++) {
            const int32_t at = 2 * order[i];
            x[i] = make(at < p->length ? in[at] : 0, at + 1 < p->length ? in[at + 1] : 0);
        }
        for (int32_t r = p->radices - 1, m = 1; r >= 0; m *= radices[r], r--) {
            const int32_t whole = m * radices[r];
            for (int32_t at = 0; at < n; at += whole) stage(x + at, radices[r], m, n / whole, operands[4], n);
        }
        unfold(x, n, operands[5], (point *)operands[0] + (ptrdiff_t)unit * (n + 1));
    }
}
