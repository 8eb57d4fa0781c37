/* int8 depthwise on NEON, weights as they are ([kernel_h][kernel_w][channels]): sixteen channels of a pixel at a time. Two taps are summed
 * in int16 (weights from -127 to 127 cannot overflow it) and then added to int32; weights with a zero point or with a -128 among them
 * are widened to int16 ("wide"). Where a window leaves the input only its inner taps count, as in the portable form; the input's
 * zero point is taken off by the sum of the weights of the taps that count. Fewer than eight channels and multipliers above 1 are left
 * to the portable form. */
#include <arm_neon.h>
#include <string.h>

#include "../abi.h"
#include "../params.h"
#include "taps.h"

edged_kernel dw_s8_scalar;

enum { LANES = 16, MOST_TAPS = 128, ROWS = 8 };

/* What sixteen channels need at the end: bias already less zero point times weights, for all taps. */
typedef struct channels16 {
    int32x4_t bias[4], multiplier[4], left[4], right[4];
} channels16;

typedef struct row_frame {
    int32x4_t input_zero;
    int16x8_t output_zero;
    int8x16_t low, high;
    int8x16_t weight_zero;
    int32_t any_left, wide;
} row_frame;

typedef struct tap_list {
    const int8_t *from[MOST_TAPS];
    const int8_t *weights[MOST_TAPS];
    int32_t count;
} tap_list;

#define INLINE static inline __attribute__((always_inline))

INLINE int32x4_t requantise(int32x4_t x, const channels16 *k, int v, int any_left) {
    if (any_left) x = vshlq_s32(x, k->left[v]);
    x = vqrdmulhq_s32(x, k->multiplier[v]);
    x = vsraq_n_s32(x, vandq_s32(x, k->right[v]), 31);
    return vrshlq_s32(x, k->right[v]);
}

INLINE void finish(const row_frame *f, const channels16 *k, int32x4_t acc[4], int8_t *out) {
    _Pragma("GCC unroll 4") for (int v = 0; v < 4; v++) acc[v] = requantise(acc[v], k, v, f->any_left);
    const int16x8_t a = vqaddq_s16(vcombine_s16(vqmovn_s32(acc[0]), vqmovn_s32(acc[1])), f->output_zero);
    const int16x8_t b = vqaddq_s16(vcombine_s16(vqmovn_s32(acc[2]), vqmovn_s32(acc[3])), f->output_zero);
    const int8x16_t r = vcombine_s8(vqmovn_s16(a), vqmovn_s16(b));
    vst1q_s8(out, vminq_s8(vmaxq_s8(r, f->low), f->high));
}

INLINE void add_wide(int32x4_t acc[4], int16x8_t a, int16x8_t b) {
    acc[0] = vaddw_s16(acc[0], vget_low_s16(a));
    acc[1] = vaddw_high_s16(acc[1], a);
    acc[2] = vaddw_s16(acc[2], vget_low_s16(b));
    acc[3] = vaddw_high_s16(acc[3], b);
}

/* `from` is where each tap of the first pixel reads; `at` how much further this pixel does. */
INLINE void multiply(const tap_list *t, int32_t count, ptrdiff_t at, int32_t c,
                                                           int32x4_t acc[4]) {
    int32_t n = 0;
    for (; n + 2 <= count; n += 2) {
        const int8x16_t x = vld1q_s8(t->from[n] + at + c), w = vld1q_s8(t->weights[n] + c);
        const int8x16_t y = vld1q_s8(t->from[n + 1] + at + c), u = vld1q_s8(t->weights[n + 1] + c);
        const int16x8_t low = vmlal_s8(vmull_s8(vget_low_s8(x), vget_low_s8(w)), vget_low_s8(y), vget_low_s8(u));
        add_wide(acc, low, vmlal_high_s8(vmull_high_s8(x, w), y, u));
    }
    if (n < count) {
        const int8x16_t x = vld1q_s8(t->from[n] + at + c), w = vld1q_s8(t->weights[n] + c);
        add_wide(acc, vmull_s8(vget_low_s8(x), vget_low_s8(w)), vmull_high_s8(x, w));
    }
}

INLINE void add_products(int32x4_t acc[4], int8x16_t x, int16x8_t w, int16x8_t u) {
    const int16x8_t low = vmovl_s8(vget_low_s8(x)), high = vmovl_high_s8(x);
    acc[0] = vmlal_s16(acc[0], vget_low_s16(low), vget_low_s16(w));
    acc[1] = vmlal_high_s16(acc[1], low, w);
    acc[2] = vmlal_s16(acc[2], vget_low_s16(high), vget_low_s16(u));
    acc[3] = vmlal_high_s16(acc[3], high, u);
}

INLINE void multiply_wide(const tap_list *t, ptrdiff_t at, int32_t c, int8x16_t zero, int32x4_t acc[4]) {
    for (int32_t n = 0; n < t->count; n++) {
        const int8x16_t w = vld1q_s8(t->weights[n] + c);
        add_products(acc, vld1q_s8(t->from[n] + at + c), vsubl_s8(vget_low_s8(w), vget_low_s8(zero)), vsubl_high_s8(w, zero));
    }
}

/* The 3x3 window with its weights in registers. */
INLINE void multiply_nine(const int8_t *const from[9], const int8x16_t w[9], ptrdiff_t at, int32x4_t acc[4]) {
    _Pragma("GCC unroll 4") for (int n = 0; n < 8; n += 2) {
        const int8x16_t x = vld1q_s8(from[n] + at), y = vld1q_s8(from[n + 1] + at);
        const int16x8_t low = vmlal_s8(vmull_s8(vget_low_s8(x), vget_low_s8(w[n])), vget_low_s8(y), vget_low_s8(w[n + 1]));
        add_wide(acc, low, vmlal_high_s8(vmull_high_s8(x, w[n]), y, w[n + 1]));
    }
    const int8x16_t x = vld1q_s8(from[8] + at);
    add_wide(acc, vmull_s8(vget_low_s8(x), vget_low_s8(w[8])), vmull_high_s8(x, w[8]));
}

INLINE void multiply_nine_wide(const int8_t *const from[9], const int16x8_t w[18], int32x4_t acc[4]) {
    _Pragma("GCC unroll 9") for (int n = 0; n < 9; n++) add_products(acc, vld1q_s8(from[n]), w[2 * n], w[2 * n + 1]);
}

/* Sums of the products of eight channels, added to low and high. */
INLINE void multiply_eight(const tap_list *t, ptrdiff_t at, int32_t c, int32x4_t *low, int32x4_t *high) {
    int32_t n = 0;
    for (; n + 2 <= t->count; n += 2) {
        const int16x8_t both = vmlal_s8(vmull_s8(vld1_s8(t->from[n] + at + c), vld1_s8(t->weights[n] + c)),
                                        vld1_s8(t->from[n + 1] + at + c), vld1_s8(t->weights[n + 1] + c));
        *low = vaddw_s16(*low, vget_low_s16(both));
        *high = vaddw_high_s16(*high, both);
    }
    if (n < t->count) {
        const int16x8_t one = vmull_s8(vld1_s8(t->from[n] + at + c), vld1_s8(t->weights[n] + c));
        *low = vaddw_s16(*low, vget_low_s16(one));
        *high = vaddw_high_s16(*high, one);
    }
}

INLINE void multiply_eight_wide(const tap_list *t, ptrdiff_t at, int32_t c, int8x8_t zero, int32x4_t *low, int32x4_t *high) {
    for (int32_t n = 0; n < t->count; n++) {
        const int16x8_t x = vmovl_s8(vld1_s8(t->from[n] + at + c)), w = vsubl_s8(vld1_s8(t->weights[n] + c), zero);
        *low = vmlal_s16(*low, vget_low_s16(x), vget_low_s16(w));
        *high = vmlal_high_s16(*high, x, w);
    }
}

/* Eight to fifteen channels: eight of a pixel at a time, the last eight of them again. */
static void run_eight(const edged_depthwise_s8_params *p, const row_frame *f, const channels16 *k, const tap_list *t, int32_t c,
                      int32_t count, int8_t *out) {
    const ptrdiff_t step = (ptrdiff_t)p->stride_w * p->channels;
    int16x8_t all = vdupq_n_s16(0);
    for (int32_t n = 0; n < t->count; n++)    /* at most 128 times 255 */
        all = vaddq_s16(all, vsubl_s8(vld1_s8(t->weights[n] + c), vget_low_s8(f->weight_zero)));
    const int32x4_t start0 = vmlsq_s32(k->bias[0], vmovl_s16(vget_low_s16(all)), f->input_zero);
    const int32x4_t start1 = vmlsq_s32(k->bias[1], vmovl_high_s16(all), f->input_zero);
    for (int32_t i = 0; i < count; i++, out += p->channels) {
        int32x4_t low = start0, high = start1;
        if (f->wide) multiply_eight_wide(t, i * step, c, vget_low_s8(f->weight_zero), &low, &high);
        else multiply_eight(t, i * step, c, &low, &high);
        low = requantise(low, k, 0, f->any_left);
        high = requantise(high, k, 1, f->any_left);
        const int16x8_t words = vqaddq_s16(vcombine_s16(vqmovn_s32(low), vqmovn_s32(high)), f->output_zero);
        vst1_s8(out + c, vmin_s8(vmax_s8(vqmovn_s16(words), vget_low_s8(f->low)), vget_low_s8(f->high)));
    }
}

static void sum_weights(const tap_list *t, int32_t c, int8x16_t zero, int32x4_t sum[4]) {
    for (int v = 0; v < 4; v++) sum[v] = vdupq_n_s32(0);
    for (int32_t n = 0; n < t->count; n++) {
        const int8x16_t w = vld1q_s8(t->weights[n] + c);
        add_wide(sum, vsubl_s8(vget_low_s8(w), vget_low_s8(zero)), vsubl_high_s8(w, zero));
    }
}

static void list_taps(const edged_depthwise_s8_params *p, const int8_t *image, const int8_t *weights, const edged_taps *taps,
                      tap_list *t) {
    t->count = 0;
    for (int32_t ky = taps->y0; ky < taps->y1; ky++)
        for (int32_t kx = taps->x0; kx < taps->x1; kx++) {
            const ptrdiff_t y = taps->top + ky * p->dilation_h, x = taps->left + kx * p->dilation_w;
            t->from[t->count] = image + (y * p->in_w + x) * p->channels;
            t->weights[t->count++] = weights + (ptrdiff_t)(ky * p->kernel_w + kx) * p->channels;
        }
}

/* The pixels [x, stop), whose windows have the same taps, for sixteen channels from c on. */
static void run(const edged_depthwise_s8_params *p, const row_frame *given, const channels16 *of, const tap_list *t, int32_t c,
                int32_t count, int8_t *out) {
    const channels16 copy = *of, *k = &copy;    /* of our own: a store of int8 could change what is pointed to */
    const row_frame own = *given, *f = &own;
    int32x4_t start[4], sum[4];
    sum_weights(t, c, f->weight_zero, sum);
    for (int v = 0; v < 4; v++) start[v] = vmlsq_s32(k->bias[v], sum[v], f->input_zero);
    const ptrdiff_t step = (ptrdiff_t)p->stride_w * p->channels, pitch = p->channels;
    for (int32_t i = 0; i < count; i++) {
        int32x4_t acc[4] = {start[0], start[1], start[2], start[3]};
        if (f->wide) multiply_wide(t, i * step, c, f->weight_zero, acc);
        else multiply(t, t->count, i * step, c, acc);
        finish(f, k, acc, out + i * pitch + c);
    }
}

/* The first and the end of the pixels whose windows lie inside from left to right. */
static void whole_columns(const edged_depthwise_s8_params *p, int32_t *first, int32_t *end) {
    const int32_t reach = (p->kernel_w - 1) * p->dilation_w, room = p->in_w - 1 - reach + p->pad_left;
    const int32_t stop = room < 0 ? 0 : room / p->stride_w + 1;
    *first = (p->pad_left + p->stride_w - 1) / p->stride_w;
    *end = stop < p->out_w ? stop : p->out_w;
    if (*end < *first) *end = *first = p->out_w;
}

static int32_t same_taps(const edged_depthwise_s8_params *p, int32_t x) {
    int32_t first, end;
    whole_columns(p, &first, &end);
    return x >= first && x < end ? end - x : 1;
}

static channels16 channels_of(void *const *operands, int32_t c, int32_t vectors) {
    channels16 k;
    for (int v = 0; v < vectors; v++) {
        const int32x4_t s = vld1q_s32((const int32_t *)operands[5] + c + 4 * v), zero = vdupq_n_s32(0);
        k.bias[v] = vld1q_s32((const int32_t *)operands[3] + c + 4 * v);
        k.multiplier[v] = vld1q_s32((const int32_t *)operands[4] + c + 4 * v);
        k.left[v] = vmaxq_s32(s, zero);
        k.right[v] = vminq_s32(s, zero);
    }
    return k;
}

static void row_of(const edged_depthwise_s8_params *p, void *const *operands, uint32_t unit, const row_frame *f) {
    const int32_t image = (int32_t)unit / p->out_h, y = (int32_t)unit % p->out_h;
    const int8_t *in = (const int8_t *)operands[1] + (ptrdiff_t)image * p->in_h * p->in_w * p->channels;
    int8_t *out = (int8_t *)operands[0] + (ptrdiff_t)unit * p->out_w * p->channels;
    tap_list t;
    for (int32_t x = 0, count; x < p->out_w; x += count, out += (ptrdiff_t)count * p->channels) {
        const edged_taps taps = EDGED_TAPS(p, y, x);
        count = same_taps(p, x);
        list_taps(p, in, operands[2], &taps, &t);
        const int32_t lanes = p->channels < LANES ? LANES / 2 : LANES;
        for (int32_t c = 0; c < p->channels; c += lanes) {
            if (c + lanes > p->channels) c = p->channels - lanes;    /* the last ones, some of them again */
            const channels16 k = channels_of(operands, c, lanes / 4);
            if (lanes == LANES) run(p, f, &k, &t, c, count, out);
            else run_eight(p, f, &k, &t, c, count, out);
        }
    }
}

/* A 3x3 window: weights stay in registers for a whole row; taps outside read sixteen zero points. */
typedef struct nine {
    const int8_t *from[9];
    int32_t inside[3];       /* rows of the window that are in the image */
} nine;

INLINE nine nine_of(const edged_depthwise_s8_params *p, const int8_t *in, int32_t y, int32_t x, const int8_t *zeros) {
    nine n;
    int32_t ok[3];
    const int32_t left = x * p->stride_w - p->pad_left, top = y * p->stride_h - p->pad_top;
    _Pragma("GCC unroll 3") for (int32_t k = 0; k < 3; k++) {
        const int32_t column = left + k * p->dilation_w, row = top + k * p->dilation_h;
        ok[k] = (uint32_t)column < (uint32_t)p->in_w;
        n.inside[k] = (uint32_t)row < (uint32_t)p->in_h;
    }
    const ptrdiff_t line = (ptrdiff_t)p->in_w * p->channels * p->dilation_h, pixel = (ptrdiff_t)p->channels * p->dilation_w;
    const ptrdiff_t start = ((ptrdiff_t)top * p->in_w + left) * p->channels;
    _Pragma("GCC unroll 9") for (int i = 0; i < 9; i++)
        n.from[i] = n.inside[i / 3] & ok[i % 3] ? in + (start + i / 3 * line + i % 3 * pixel) : zeros;
    return n;
}

/* What a row of a 3x3 window shares with the rows before it: sixteen channels. */
typedef struct nine_weights {
    channels16 of;
    int8x16_t w[9];
    int16x8_t widened[18];
    int32x4_t start[4];
} nine_weights;

static void nine_weights_of(const edged_depthwise_s8_params *p, void *const *operands, int32_t c, const row_frame *f,
                            nine_weights *to) {
    const int8_t *weights = (const int8_t *)operands[2] + c;
    int32x4_t sum[4] = {vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0)};
    to->of = channels_of(operands, c, 4);
    _Pragma("GCC unroll 9") for (int n = 0; n < 9; n++) {
        const int8x16_t w = to->w[n] = vld1q_s8(weights + n * (ptrdiff_t)p->channels);
        to->widened[2 * n] = vsubl_s8(vget_low_s8(w), vget_low_s8(f->weight_zero));
        to->widened[2 * n + 1] = vsubl_high_s8(w, f->weight_zero);
        add_wide(sum, to->widened[2 * n], to->widened[2 * n + 1]);
    }
    for (int v = 0; v < 4; v++) to->start[v] = vmlsq_s32(to->of.bias[v], sum[v], f->input_zero);
}

/* `in` and `out` at the sixteen channels of the image's and of the row's first pixel. */
INLINE void row_of_nine(const edged_depthwise_s8_params *p, const row_frame *given, const nine_weights *at, const int8_t *in, int32_t y,
                        int8_t *out, const int any_left, const int wide) {
    row_frame own = *given;
    own.any_left = any_left;    /* constants from here on */
    const row_frame *f = &own;
    const nine_weights copy = *at;
    const channels16 *k = &copy.of;
    const ptrdiff_t pitch = p->channels, step = (ptrdiff_t)p->stride_w * p->channels;
    int32_t first, end;
    int8_t zeros[LANES];
    vst1q_s8(zeros, vdupq_n_s8((int8_t)p->input_zero));
    whole_columns(p, &first, &end);
    for (int32_t x = 0; x < p->out_w;) {
        const nine n = nine_of(p, in, y, x, zeros);
        const int32_t count = x >= first && x < end ? end - x : 1;
        ptrdiff_t steps[3];
        for (int ky = 0; ky < 3; ky++) steps[ky] = n.inside[ky] ? step : 0;
        const int8_t *from[9];
        _Pragma("GCC unroll 9") for (int i = 0; i < 9; i++) from[i] = n.from[i];
        for (int32_t i = 0; i < count; i++) {
            int32x4_t acc[4] = {copy.start[0], copy.start[1], copy.start[2], copy.start[3]};
            if (wide) multiply_nine_wide(from, copy.widened, acc);
            else multiply_nine(from, copy.w, 0, acc);
            finish(f, k, acc, out + (x + i) * pitch);
            _Pragma("GCC unroll 9") for (int j = 0; j < 9; j++) from[j] += steps[j / 3];
        }
        x += count;
    }
}

#define ROW_OF_NINE(name, any_left, wide)                                                                                 \
    static void name(const edged_depthwise_s8_params *p, const row_frame *f, const nine_weights *at, const int8_t *in,    \
                     int32_t y, int8_t *out) {                                                                           \
        row_of_nine(p, f, at, in, y, out, any_left, wide);                                                              \
    }
ROW_OF_NINE(row_of_nine_right, 0, 0)
ROW_OF_NINE(row_of_nine_left, 1, 0)
ROW_OF_NINE(row_of_nine_wide, 1, 1)
#undef ROW_OF_NINE

/* The rows [unit, stop), few enough to stay in the cache from one sixteen channels to the next. */
static void rows_of_nine(const edged_depthwise_s8_params *p, void *const *operands, uint32_t unit, uint32_t stop, const row_frame *f) {
    nine_weights at;
    for (int32_t c = 0; c < p->channels; c += LANES) {
        if (c + LANES > p->channels) c = p->channels - LANES;    /* the last ones, some of them again */
        nine_weights_of(p, operands, c, f, &at);
        for (uint32_t u = unit; u < stop; u++) {
            const int32_t image = (int32_t)u / p->out_h, y = (int32_t)u % p->out_h;
            const int8_t *in = (const int8_t *)operands[1] + (ptrdiff_t)image * p->in_h * p->in_w * p->channels + c;
            int8_t *out = (int8_t *)operands[0] + (ptrdiff_t)u * p->out_w * p->channels + c;
            if (f->wide) row_of_nine_wide(p, f, &at, in, y, out);
            else if (f->any_left) row_of_nine_left(p, f, &at, in, y, out);
            else row_of_nine_right(p, f, &at, in, y, out);
        }
    }
}

/* Is a weight -128? Then two products may leave int16. */
static int overflows(const int8_t *weights, ptrdiff_t n) {
    int8x16_t least = vdupq_n_s8(0);
    ptrdiff_t i = 0;
    for (; i + 16 <= n; i += 16) least = vminq_s8(least, vld1q_s8(weights + i));
    int8_t found = vminvq_s8(least);
    for (; i < n; i++) found = weights[i] < found ? weights[i] : found;
    return found == -128;
}

void dw_s8_16c_neon(const void *params, void *const *operands, const edged_task *task) {
    const edged_depthwise_s8_params *p = params;
    const ptrdiff_t taps = (ptrdiff_t)p->kernel_h * p->kernel_w;
    if (p->multiplier != 1 || p->channels < LANES / 2 || p->weight_zero < -128 || p->weight_zero > 127 || taps > MOST_TAPS) {
        dw_s8_scalar(params, operands, task);
        return;
    }
    row_frame f = {vdupq_n_s32(p->input_zero), vdupq_n_s16((int16_t)p->output_zero), vdupq_n_s8((int8_t)p->act_min),
                   vdupq_n_s8((int8_t)p->act_max), vdupq_n_s8((int8_t)p->weight_zero), 0,
                   p->weight_zero != 0 || overflows(operands[2], taps * p->channels)};
    for (int32_t c = 0; c < p->channels; c++) f.any_left |= ((const int32_t *)operands[5])[c] > 0;
    const int three = p->kernel_h == 3 && p->kernel_w == 3 && p->channels >= LANES;
    if (!three) {
        for (uint32_t unit = task->begin; unit < task->end; unit++) row_of(p, operands, unit, &f);
        return;
    }
    for (uint32_t unit = task->begin, stop; unit < task->end; unit = stop) {
        stop = task->end - unit < ROWS ? task->end : unit + ROWS;
        rows_of_nine(p, operands, unit, stop, &f);
    }
}
