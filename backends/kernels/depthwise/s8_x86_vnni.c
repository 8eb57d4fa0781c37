/* Depthwise int8 by VNNI on interleaved rows (geometry.h). Scratch: 4 * groups * edged_dw_row_groups() + EDGED_DW_SLACK
 * bytes, then in_w * channels (1, or with a multiplier 1 + 4 * groups times), each part rounded up to 64.
 *
 * Requantisation is TFLite's double rounding in nine instructions for 16 lanes. The high half of acc * 2 multiplier is
 * the doubling high multiply. The addend of the rounding shift and the output's zero point (shifted up by the same
 * amount) ride in the upper half of its rounding constant. The product is unsigned, so a negative acc leaves 2
 * multiplier too much in the high half; that and the one by which ties of the second rounding go away from zero are
 * taken off together (`negative`). The lowering guarantees that nothing here overflows
 * (edged_backends/lower/depthwise.py, `fits`).
 */
#include "../abi.h"
#include "geometry.h"

#include <immintrin.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

/* ---- interleaving ---- */

/* Four rows of 64 bytes whose dwords are in the order that the unpacking undoes: dst[4 i + k] = row k's byte i, xor 0x80. */
INLINE void merge_64(uint8_t *dst, __m512i a, __m512i b, __m512i c, __m512i d) {
    const __m512i sign = _mm512_set1_epi8((char)0x80);
    a = _mm512_xor_si512(a, sign);
    b = _mm512_xor_si512(b, sign);
    c = _mm512_xor_si512(c, sign);
    d = _mm512_xor_si512(d, sign);
    const __m512i ab0 = _mm512_unpacklo_epi8(a, b), ab1 = _mm512_unpackhi_epi8(a, b);
    const __m512i cd0 = _mm512_unpacklo_epi8(c, d), cd1 = _mm512_unpackhi_epi8(c, d);
    _mm512_storeu_si512(dst, _mm512_unpacklo_epi16(ab0, cd0));
    _mm512_storeu_si512(dst + 64, _mm512_unpackhi_epi16(ab0, cd0));
    _mm512_storeu_si512(dst + 128, _mm512_unpacklo_epi16(ab1, cd1));
    _mm512_storeu_si512(dst + 192, _mm512_unpackhi_epi16(ab1, cd1));
}

INLINE void interleave_64(uint8_t *dst, __m512i a, __m512i b, __m512i c, __m512i d) {
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    merge_64(dst, _mm512_permutexvar_epi32(order, a), _mm512_permutexvar_epi32(order, b), _mm512_permutexvar_epi32(order, c),
             _mm512_permutexvar_epi32(order, d));
}

INLINE void interleave_16(uint8_t *dst, __m128i a, __m128i b, __m128i c, __m128i d) {
    const __m128i sign = _mm_set1_epi8((char)0x80);
    a = _mm_xor_si128(a, sign);
    b = _mm_xor_si128(b, sign);
    c = _mm_xor_si128(c, sign);
    d = _mm_xor_si128(d, sign);
    const __m128i ab0 = _mm_unpacklo_epi8(a, b), ab1 = _mm_unpackhi_epi8(a, b);
    const __m128i cd0 = _mm_unpacklo_epi8(c, d), cd1 = _mm_unpackhi_epi8(c, d);
    _mm_storeu_si128((__m128i *)dst, _mm_unpacklo_epi16(ab0, cd0));
    _mm_storeu_si128((__m128i *)(dst + 16), _mm_unpackhi_epi16(ab0, cd0));
    _mm_storeu_si128((__m128i *)(dst + 32), _mm_unpacklo_epi16(ab1, cd1));
    _mm_storeu_si128((__m128i *)(dst + 48), _mm_unpackhi_epi16(ab1, cd1));
}

/* n groups; writes up to 256 bytes more than asked for. */
INLINE void interleave(uint8_t *dst, const int8_t *const row[4], ptrdiff_t at, int32_t n) {
    int32_t i = 0;
    for (; i + 64 <= n; i += 64, dst += 256, at += 64) {
        interleave_64(dst, _mm512_loadu_si512(row[0] + at), _mm512_loadu_si512(row[1] + at), _mm512_loadu_si512(row[2] + at),
                      _mm512_loadu_si512(row[3] + at));
    }
    const int32_t left = n - i;
    if (left > 16) {
        const __mmask64 m = ~UINT64_C(0) >> (64 - left);
        interleave_64(dst, _mm512_maskz_loadu_epi8(m, row[0] + at), _mm512_maskz_loadu_epi8(m, row[1] + at),
                      _mm512_maskz_loadu_epi8(m, row[2] + at), _mm512_maskz_loadu_epi8(m, row[3] + at));
    } else if (left > 0) {
        const __mmask16 m = (__mmask16)(0xFFFFu >> (16 - left));
        interleave_16(dst, _mm_maskz_loadu_epi8(m, row[0] + at), _mm_maskz_loadu_epi8(m, row[1] + at),
                      _mm_maskz_loadu_epi8(m, row[2] + at), _mm_maskz_loadu_epi8(m, row[3] + at));
    }
}

/* `n` groups of padding. */
INLINE void pad(uint8_t *dst, int32_t n, int32_t zero) {
    const __m512i value = _mm512_set1_epi8((char)(zero ^ 0x80));
    for (int32_t i = 0; i < n; i += 16) _mm512_storeu_si512(dst + 4 * i, value);
}

/* Columns of a phase: how many lie before the input, and where the input ends. */
typedef struct span {
    int32_t columns, before, end, first; /* `first`: input column of the first one inside */
} span;

static span span_of(const edged_depthwise_s8_params *p, int32_t f) {
    const int32_t wide = (p->out_w - 1) * p->stride_w + (p->kernel_w - 1) * p->dilation_w + 1, left = f - p->pad_left;
    span s = {.columns = edged_dw_phase_columns(wide, p->stride_w, f)};
    s.before = left >= 0 ? 0 : (-left + p->stride_w - 1) / p->stride_w;
    s.before = s.before > s.columns ? s.columns : s.before;
    s.end = left >= p->in_w ? 0 : (p->in_w - left + p->stride_w - 1) / p->stride_w;
    s.end = s.end > s.columns ? s.columns : s.end < s.before ? s.before : s.end;
    s.first = left + s.before * p->stride_w;
    return s;
}

/* A row of groups of channels [first, first + block) in columns: every column that an output reads, padding where it
 * lies outside the input. Rising addresses within a phase, so that what a step writes too far is written again, or
 * falls into the gap. */
static void interleave_columns(const edged_depthwise_s8_params *p, const edged_dw_plan *plan, uint8_t *dst, const int8_t *const row[4],
                               int32_t first, int32_t block) {
    for (int32_t f = 0; f < p->stride_w; f++) {
        const span s = span_of(p, f);
        const int32_t n = s.end - s.before;
        const ptrdiff_t hop = (ptrdiff_t)p->stride_w * plan->channels;
        ptrdiff_t from = (ptrdiff_t)s.first * plan->channels + first;
        uint8_t *to = dst + ((ptrdiff_t)plan->phase[f] * block + f * EDGED_DW_GAP) * 4;
        pad(to, s.before * block, p->input_zero);
        to += (ptrdiff_t)s.before * block * 4;
        if (p->stride_w == 1 && block == plan->channels) {
            interleave(to, row, from, n * block);
        } else {
            for (int32_t x = 0; x < n; x++, from += hop) interleave(to + (ptrdiff_t)x * block * 4, row, from, block);
        }
        pad(to + (ptrdiff_t)n * block * 4, (s.columns - s.end) * block, p->input_zero);
    }
}

/* Columns of 4, 8, 16 or 32 channels two by two, parted while they are loaded: 64 groups from 128 bytes of each row.
 * Returns how many group columns that made. */
static int32_t interleave_pairs(uint8_t *dst, const int8_t *top, const int8_t *bottom, int32_t channels, int32_t n) {
    int32_t order[2][16];
    const int32_t words = channels / 4, step = 64 / channels;
    for (int32_t i = 0; i < 16; i++) {
        const int32_t at = i % 4 * 4 + i / 4;
        order[0][i] = at / words * 2 * words + at % words;
        order[1][i] = order[0][i] + words;
    }
    const __m512i even = _mm512_loadu_si512(order[0]), odd = _mm512_loadu_si512(order[1]);
    int32_t done = 0;
    for (; done + step <= n; done += step, top += 128, bottom += 128, dst += 256) {
        const __m512i a = _mm512_loadu_si512(top), b = _mm512_loadu_si512(top + 64);
        const __m512i c = _mm512_loadu_si512(bottom), d = _mm512_loadu_si512(bottom + 64);
        merge_64(dst, _mm512_permutex2var_epi32(a, even, b), _mm512_permutex2var_epi32(a, odd, b),
                 _mm512_permutex2var_epi32(c, even, d), _mm512_permutex2var_epi32(c, odd, d));
    }
    return done;
}

/* A row of groups of quads, from two input rows; `nowhere` holds zero points. */
static void interleave_quads(const edged_depthwise_s8_params *p, const edged_dw_plan *plan, uint8_t *dst, const int8_t *const row[2],
                             const int8_t *nowhere, int32_t first, int32_t block) {
    const ptrdiff_t c = plan->channels;
    for (int32_t x = 0; x < plan->columns; x++) {
        const int32_t column = 2 * x - p->pad_left, left = column >= 0 && column < p->in_w, right = column >= -1 && column + 1 < p->in_w;
        if (left && right && block == c && 64 % block == 0 && block % 4 == 0) {
            const int32_t rest = plan->columns - x, most = (p->in_w - column) / 2, n = rest < most ? rest : most;
            x += interleave_pairs(dst + (ptrdiff_t)x * block * 4, row[0] + column * c, row[1] + column * c, block, n);
            if (x == plan->columns) return;
        }
        const ptrdiff_t now = 2 * x - p->pad_left;
        const int8_t *const four[4] = {
            now >= 0 && now < p->in_w ? row[0] + now * c + first : nowhere,
            now >= -1 && now + 1 < p->in_w ? row[0] + (now + 1) * c + first : nowhere,
            now >= 0 && now < p->in_w ? row[1] + now * c + first : nowhere,
            now >= -1 && now + 1 < p->in_w ? row[1] + (now + 1) * c + first : nowhere,
        };
        interleave(dst + (ptrdiff_t)x * block * 4, four, 0, block);
    }
}

/* ---- requantisation ---- */

/* What 16 channels need, for every output of theirs. */
typedef struct scales {
    __m512i bias, left, even, odd, even_addend, odd_addend, negative, right, low, high;
} scales;

INLINE scales scales_of(const edged_depthwise_s8_params *p, void *const *operands, int32_t vector) {
    const __m512i multiplier = _mm512_loadu_si512((const int32_t *)operands[4] + 16 * vector);
    const __m512i shift = _mm512_loadu_si512((const int32_t *)operands[5] + 16 * vector);
    const __m512i zero = _mm512_setzero_si512(), one = _mm512_set1_epi32(1);
    const __m512i twice = _mm512_add_epi32(multiplier, multiplier), rounding = _mm512_set1_epi64(INT64_C(1) << 31);
    scales s;
    s.bias = _mm512_loadu_si512((const int32_t *)operands[3] + 16 * vector);
    s.left = _mm512_max_epi32(shift, zero);
    s.right = _mm512_max_epi32(_mm512_sub_epi32(zero, shift), zero);
    const __mmask16 shifted = _mm512_cmpgt_epi32_mask(s.right, zero);
    const __m512i half = _mm512_maskz_sllv_epi32(shifted, one, _mm512_sub_epi32(s.right, one));
    const __m512i addend = _mm512_add_epi32(half, _mm512_sllv_epi32(_mm512_set1_epi32(p->output_zero), s.right));
    s.even = twice;
    s.odd = _mm512_srli_epi64(twice, 32);
    s.even_addend = _mm512_add_epi64(_mm512_slli_epi64(addend, 32), rounding);
    s.odd_addend = _mm512_add_epi64(_mm512_slli_epi64(_mm512_srli_epi64(addend, 32), 32), rounding);
    s.negative = _mm512_add_epi32(twice, _mm512_maskz_mov_epi32(shifted, one));
    s.low = _mm512_set1_epi8((char)p->act_min);
    s.high = _mm512_set1_epi8((char)p->act_max);
    return s;
}

/* LEFT: some shift is to the left. */
INLINE __m512i requantise(const int LEFT, __m512i acc, const scales *s) {
    acc = LEFT ? _mm512_sllv_epi32(acc, s->left) : acc;
    const __m512i even = _mm512_add_epi64(_mm512_mul_epu32(acc, s->even), s->even_addend);
    const __m512i odd = _mm512_add_epi64(_mm512_mul_epu32(_mm512_srli_epi64(acc, 32), s->odd), s->odd_addend);
    const __m512i high = _mm512_mask_shuffle_epi32(odd, 0x5555, even, _MM_PERM_DDBB);
    return _mm512_srav_epi32(_mm512_mask_sub_epi32(high, _mm512_movepi32_mask(acc), high, s->negative), s->right);
}

/* Four vectors of 16 results to 4 x 16 bytes. */
INLINE __m512i narrow(__m512i a, __m512i b, __m512i c, __m512i d, const scales *s) {
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    const __m512i bytes = _mm512_packs_epi16(_mm512_packs_epi32(a, b), _mm512_packs_epi32(c, d));
    return _mm512_permutexvar_epi32(order, _mm512_min_epi8(_mm512_max_epi8(bytes, s->low), s->high));
}

INLINE __m128i narrow_one(__m512i a, const scales *s) {
    const __m128i low = _mm512_castsi512_si128(s->low), high = _mm512_castsi512_si128(s->high);
    return _mm_min_epi8(_mm_max_epi8(_mm512_cvtsepi32_epi8(a), low), high);
}

/* ---- one vector of channels along an output row ---- */

typedef struct strip {
    const uint8_t *in;     /* interleaved rows, at this vector's first lane */
    int8_t *out[4];        /* per output row */
    const int8_t *weights; /* [rows][taps][planes][64], `row_weights` bytes from row to row */
    ptrdiff_t row_weights, in_step, out_step;
    int32_t count, taps, planes;
    const int32_t *offsets; /* bytes from `in`, per tap */
} strip;

/* ROWS output rows of N positions. TAPS and PLANES are constants, or 0: as the strip says. */
INLINE void tile(const int ROWS, const int N, const int TAPS, const int PLANES, const int LEFT, const strip *t, const scales *s,
                 const uint8_t *in, ptrdiff_t out) {
    const int taps = TAPS ? TAPS : t->taps, planes = PLANES ? PLANES : t->planes;
    __m512i acc[4][5];
#pragma GCC unroll 4
    for (int r = 0; r < ROWS; r++) {
#pragma GCC unroll 5
        for (int i = 0; i < N; i++) acc[r][i] = s->bias;
    }
#pragma GCC unroll 3
    for (int tap = 0; tap < taps; tap++) {
        const uint8_t *from = in + t->offsets[tap];
        __m512i v[5];
#pragma GCC unroll 5
        for (int i = 0; i < N; i++) v[i] = _mm512_loadu_si512(from + i * t->in_step);
#pragma GCC unroll 2
        for (int plane = 0; plane < planes; plane++) {
#pragma GCC unroll 4
            for (int r = 0; r < ROWS; r++) {
                const __m512i w = _mm512_loadu_si512(t->weights + r * t->row_weights + (tap * planes + plane) * 64);
#pragma GCC unroll 5
                for (int i = 0; i < N; i++) acc[r][i] = _mm512_dpbusd_epi32(acc[r][i], v[i], w);
            }
        }
    }
#pragma GCC unroll 4
    for (int r = 0; r < ROWS; r++) {
#pragma GCC unroll 5
        for (int i = 0; i < N; i++) acc[r][i] = requantise(LEFT, acc[r][i], s);
        const __m512i bytes = narrow(acc[r][0], acc[r][N > 1 ? 1 : 0], acc[r][N > 2 ? 2 : 0], acc[r][N > 3 ? 3 : 0], s);
        int8_t *to = t->out[r] + out;
        _mm_storeu_si128((__m128i *)to, _mm512_castsi512_si128(bytes));
        if (N > 1) _mm_storeu_si128((__m128i *)(to + t->out_step), _mm512_extracti32x4_epi32(bytes, 1));
        if (N > 2) _mm_storeu_si128((__m128i *)(to + 2 * t->out_step), _mm512_extracti32x4_epi32(bytes, 2));
        if (N > 3) _mm_storeu_si128((__m128i *)(to + 3 * t->out_step), _mm512_extracti32x4_epi32(bytes, 3));
        if (N > 4) _mm_storeu_si128((__m128i *)(to + 4 * t->out_step), narrow_one(acc[r][4], s));
    }
}

/* One position, the lanes of `mask`. */
static void partial(int rows, const strip *t, const scales *s, const uint8_t *in, ptrdiff_t out, __mmask16 mask) {
    for (int r = 0; r < rows; r++) {
        __m512i acc = s->bias;
        const int8_t *w = t->weights + r * t->row_weights;
        for (int tap = 0; tap < t->taps; tap++) {
            const __m512i v = _mm512_loadu_si512(in + t->offsets[tap]);
            for (int plane = 0; plane < t->planes; plane++, w += 64) acc = _mm512_dpbusd_epi32(acc, v, _mm512_loadu_si512(w));
        }
        _mm_mask_storeu_epi8(t->out[r] + out, mask, narrow_one(requantise(1, acc, s), s));
    }
}

#define STRIP(name, ROWS, TAPS, PLANES, LEFT)                                                                                   \
    static void name(const strip *t, const scales *from, int32_t count) {                                                        \
        const scales s = *from;                                                                                                  \
        const uint8_t *in = t->in;                                                                                               \
        ptrdiff_t out = 0;                                                                                                       \
        int32_t left = count;                                                                                                    \
        for (; left >= 4 && left != 5; left -= 4, in += 4 * t->in_step, out += 4 * t->out_step) {                                \
            tile(ROWS, 4, TAPS, PLANES, LEFT, t, &s, in, out);                                                                   \
        }                                                                                                                        \
        if (left == 5) {                                                                                                         \
            tile(ROWS, 5, TAPS, PLANES, LEFT, t, &s, in, out);                                                                   \
        } else if (left == 3) {                                                                                                  \
            tile(ROWS, 3, TAPS, PLANES, LEFT, t, &s, in, out);                                                                   \
        } else if (left == 2) {                                                                                                  \
            tile(ROWS, 2, TAPS, PLANES, LEFT, t, &s, in, out);                                                                   \
        } else if (left == 1) {                                                                                                  \
            tile(ROWS, 1, TAPS, PLANES, LEFT, t, &s, in, out);                                                                   \
        }                                                                                                                        \
    }

STRIP(strip_2x3, 2, 3, 1, 0)
STRIP(strip_1x3, 1, 3, 1, 0)
STRIP(strip_1x4, 1, 4, 1, 0)
STRIP(strip_2x3_two, 2, 3, 2, 0)
STRIP(strip_1x3_two, 1, 3, 2, 0)
STRIP(strip_1x4_two, 1, 4, 2, 0)
STRIP(strip_1xn, 1, 0, 0, 1)
STRIP(strip_2xn, 2, 0, 0, 1)
STRIP(strip_4xn, 4, 0, 0, 1)

typedef void strip_function(const strip *t, const scales *s, int32_t count);

/* The function made for a strip's rows, taps and planes, or the general one (which also shifts to the left). */
static strip_function *strip_of(const strip *t, const scales *s, int32_t rows) {
    static const struct {
        int32_t rows, taps, planes;
        strip_function *function;
    } made[] = {{2, 3, 1, strip_2x3}, {1, 3, 1, strip_1x3}, {1, 4, 1, strip_1x4},
                {2, 3, 2, strip_2x3_two}, {1, 3, 2, strip_1x3_two}, {1, 4, 2, strip_1x4_two}};
    for (size_t i = 0; _mm512_test_epi32_mask(s->left, s->left) == 0 && i < sizeof made / sizeof *made; i++) {
        if (made[i].rows == rows && made[i].taps == t->taps && made[i].planes == t->planes) return made[i].function;
    }
    return rows == 4 ? strip_4xn : rows == 2 ? strip_2xn : strip_1xn;
}

/* `last`: the lanes of the last position that are there. */
static void run_strip(const strip *t, const scales *s, int32_t rows, __mmask16 last) {
    const int32_t whole = last == 0xFFFF ? t->count : t->count - 1;
    strip_of(t, s, rows)(t, s, whole);
    if (whole < t->count) partial(rows, t, s, t->in + whole * t->in_step, whole * t->out_step, last);
}

/* ---- passes ---- */

/* Vectors of a block whose scales are kept from pass to pass (640 bytes each). */
enum { READY = 12 };

typedef struct pass {
    const edged_depthwise_s8_params *p;
    const edged_dw_plan *plan;
    void *const *operands;
    uint8_t *interleaved;
    int8_t *nowhere, *expanded;
    const int8_t *in;           /* this image */
    int8_t *out;                /* this image */
    int32_t y, rows;            /* output rows of the pass */
    int32_t first, block, held; /* channels; with quads, the row of groups after the last one made */
    scales ready[READY];        /* of the block's first vectors */
} pass;

/* Row y of the input, or a row of zero points; channels repeated where the multiplier says so, in place `i`. */
static const int8_t *input_row(const pass *a, int32_t y, int32_t i) {
    const edged_depthwise_s8_params *p = a->p;
    if (y < 0 || y >= p->in_h) return a->nowhere;
    const int8_t *from = a->in + (ptrdiff_t)y * p->in_w * p->channels;
    if (p->multiplier == 1) return from;
    int8_t *to = a->expanded + (ptrdiff_t)i * p->in_w * a->plan->channels;
    for (int32_t x = 0, at = 0; x < p->in_w * p->channels; x++) {
        for (int32_t m = 0; m < p->multiplier; m++) to[at++] = from[x];
    }
    return to;
}

/* Makes the rows of groups that the pass reads. */
static void make_groups(pass *a) {
    const edged_depthwise_s8_params *p = a->p;
    const ptrdiff_t pitch = (ptrdiff_t)edged_dw_row_groups(a->plan, a->block) * 4;
    if (p->quads) {
        for (a->held = a->held < a->y ? a->y : a->held; a->held < a->y + p->groups; a->held++) {
            const int32_t top = 2 * a->held - p->pad_top;
            const int8_t *const row[2] = {input_row(a, top, 0), input_row(a, top + 1, 1)};
            interleave_quads(p, a->plan, a->interleaved + a->held % p->groups * pitch, row, a->nowhere, a->first, a->block);
        }
        return;
    }
    const int32_t top = a->y * p->stride_h - p->pad_top, used = (a->rows - 1) * p->stride_h + p->kernel_h;
    for (int32_t g = 0; g < p->groups; g++) {
        const int8_t *row[4];
        for (int32_t i = 0; i < 4; i++) {
            const int32_t at = 4 * g + i;
            row[i] = at < used ? input_row(a, top + at * p->dilation_h, at) : a->nowhere;
        }
        interleave_columns(p, a->plan, a->interleaved + g * pitch, row, a->first, a->block);
    }
}

/* Computes the pass from its groups, one vector of channels after the other. */
static void use_groups(const pass *a) {
    const edged_depthwise_s8_params *p = a->p;
    const edged_dw_plan *plan = a->plan;
    const int32_t block = a->block, vectors = edged_dw_vectors(block), lanes = p->out_w * block, taps = p->groups * plan->taps_w;
    const int32_t pitch = edged_dw_row_groups(plan, block) * 4;
    int32_t offsets[EDGED_DW_TAPS];
    for (int32_t g = 0; g < p->groups; g++) {
        const int32_t slot = p->quads ? (a->y + g) % p->groups : g;
        for (int32_t k = 0; k < plan->taps_w; k++) {
            offsets[g * plan->taps_w + k] = slot * pitch + (plan->offsets[k] * block + plan->from_phase[k] * EDGED_DW_GAP) * 4;
        }
    }
    strip t = {.taps = taps, .planes = p->planes, .offsets = offsets, .in_step = (ptrdiff_t)vectors * 64,
               .out_step = block == plan->channels ? vectors * 16 : plan->channels, .row_weights = (ptrdiff_t)taps * p->planes * 64};
    for (int32_t v = 0; v < vectors && 16 * v < lanes; v++) {
        const int32_t left = lanes - 16 * v, vector = a->first / 16 + v;
        t.count = (left + 16 * vectors - 1) / (16 * vectors);
        const int32_t last = left - (t.count - 1) * 16 * vectors;
        t.in = a->interleaved + (ptrdiff_t)v * 64;
        t.weights = (const int8_t *)a->operands[2] + vector * p->rows * t.row_weights;
        for (int32_t r = 0; r < a->rows; r++) {
            t.out[r] = a->out + ((ptrdiff_t)(a->y + r) * p->out_w) * plan->channels + a->first + 16 * v;
        }
        scales own;
        if (v >= READY) own = scales_of(p, a->operands, vector);
        run_strip(&t, v < READY ? &a->ready[v] : &own, a->rows, last >= 16 ? 0xFFFF : (__mmask16)(0xFFFFu >> (16 - last)));
    }
}

/* Output rows [y, end) of one image. */
static void run_image(pass *a, int32_t y, int32_t end) {
    const edged_depthwise_s8_params *p = a->p;
    for (a->first = 0; a->first < a->plan->channels; a->first += p->block) {
        const int32_t rest = a->plan->channels - a->first;
        a->block = rest < p->block ? rest : p->block;
        a->held = 0;
        for (int32_t v = 0; v < READY && v < edged_dw_vectors(a->block); v++) a->ready[v] = scales_of(p, a->operands, a->first / 16 + v);
        for (a->y = y; a->y < end; a->y += a->rows) {
            const int32_t left = end - a->y;
            a->rows = left >= p->rows ? p->rows : left >= 2 ? 2 : 1;
            make_groups(a);
            use_groups(a);
        }
    }
}

void dw_s8_16c4_vnni(const void *params, void *const *operands, const edged_task *task) {
    const edged_depthwise_s8_params *p = params;
    const edged_dw_plan plan = edged_dw_plan_of(p);
    const size_t groups = (size_t)p->groups * (size_t)edged_dw_row_groups(&plan, p->block);
    const size_t row = ((size_t)p->in_w * (size_t)plan.channels + 63) / 64 * 64;
    pass a = {.p = p, .plan = &plan, .operands = operands, .interleaved = task->scratch};
    a.nowhere = (int8_t *)task->scratch + (groups * 4 + EDGED_DW_SLACK + 63) / 64 * 64;
    a.expanded = a.nowhere + row;
    memset(a.nowhere, p->input_zero, row);
    for (uint32_t unit = task->begin; unit < task->end;) {
        const int32_t image = (int32_t)unit / p->out_h, y = (int32_t)unit % p->out_h, left = (int32_t)(task->end - unit);
        const int32_t end = p->out_h - y < left ? p->out_h : y + left;
        a.in = (const int8_t *)operands[1] + (ptrdiff_t)image * p->in_h * p->in_w * p->channels;
        a.out = (int8_t *)operands[0] + (ptrdiff_t)image * p->out_h * p->out_w * plan.channels;
        run_image(&a, y, end);
        unit += (uint32_t)(end - y);
    }
}
