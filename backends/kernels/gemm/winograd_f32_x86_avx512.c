/* Winograd convolution on AVX-512: transforms over 16 channels at a time, products by the tiles of the direct convolution. */
#include "../abi.h"
#include "../simd_avx512.h"
#include "tile_f32_avx512.h"
#include "winograd.h"

/* One dimension of B' d (F(2x2)): side 4. */
static inline void input_2(const __m512 d[4], __m512 o[4]) {
    o[0] = _mm512_sub_ps(d[0], d[2]);
    o[1] = _mm512_add_ps(d[1], d[2]);
    o[2] = _mm512_sub_ps(d[2], d[1]);
    o[3] = _mm512_sub_ps(d[1], d[3]);
}

/* F(4x4): side 6. */
static inline void input_4(const __m512 d[6], __m512 o[6]) {
    const __m512 two = _mm512_set1_ps(2.0f), four = _mm512_set1_ps(4.0f), five = _mm512_set1_ps(5.0f);
    const __m512 a = _mm512_fnmadd_ps(four, d[2], d[4]), b = _mm512_fnmadd_ps(four, d[1], d[3]);
    const __m512 c = _mm512_sub_ps(d[4], d[2]), e = _mm512_mul_ps(two, _mm512_sub_ps(d[3], d[1]));
    o[0] = _mm512_fmadd_ps(four, d[0], _mm512_fnmadd_ps(five, d[2], d[4]));
    o[1] = _mm512_add_ps(a, b);
    o[2] = _mm512_sub_ps(a, b);
    o[3] = _mm512_add_ps(c, e);
    o[4] = _mm512_sub_ps(c, e);
    o[5] = _mm512_fmadd_ps(four, d[1], _mm512_fnmadd_ps(five, d[3], d[5]));
}

static inline void output_2(const __m512 m[4], __m512 o[2]) {
    o[0] = _mm512_add_ps(m[0], _mm512_add_ps(m[1], m[2]));
    o[1] = _mm512_sub_ps(m[1], _mm512_add_ps(m[2], m[3]));
}

static inline void output_4(const __m512 m[6], __m512 o[4]) {
    const __m512 two = _mm512_set1_ps(2.0f), four = _mm512_set1_ps(4.0f), eight = _mm512_set1_ps(8.0f);
    const __m512 a = _mm512_add_ps(m[1], m[2]), b = _mm512_sub_ps(m[1], m[2]), c = _mm512_add_ps(m[3], m[4]), d = _mm512_sub_ps(m[3], m[4]);
    o[0] = _mm512_add_ps(m[0], _mm512_add_ps(a, c));
    o[1] = _mm512_fmadd_ps(two, d, b);
    o[2] = _mm512_fmadd_ps(four, c, a);
    o[3] = _mm512_add_ps(_mm512_fmadd_ps(eight, d, b), m[5]);
}

/* Tile t of the unit, all channels: reads the image (zeros outside), writes inputs[position][t]. */
static inline __attribute__((always_inline)) void transform_input(const edged_winograd_f32_params *p, const winograd_unit *u, const float *image, int32_t t,
                                                                  float *inputs, const int TILE) {
    enum { MOST = WINOGRAD_MOST };
    const int32_t y = (u->row + t / u->across) * TILE - p->pad_top, x = t % u->across * TILE - p->pad_left;
    const ptrdiff_t position = (ptrdiff_t)u->tiles * p->in_c;
    const int SIDE = TILE + 2;
    for (int32_t c = 0; c < p->in_c; c += 16) {
        const __mmask16 mask = edged_mask16(p->in_c - c);
        __m512 half[MOST][MOST], column[MOST], made[MOST];
        for (int32_t j = 0; j < SIDE; j++) {
            const int across = x + j >= 0 && x + j < p->in_w;
            UNROLL for (int32_t i = 0; i < SIDE; i++) {
                const int inside = across && y + i >= 0 && y + i < p->in_h;
                column[i] = inside ? _mm512_maskz_loadu_ps(mask, image + ((ptrdiff_t)(y + i) * p->in_w + x + j) * p->in_c + c) : _mm512_setzero_ps();
            }
            if (TILE == 2) input_2(column, made);
            else input_4(column, made);
            UNROLL for (int32_t i = 0; i < SIDE; i++) half[i][j] = made[i];
        }
        float *to = inputs + (ptrdiff_t)t * p->in_c + c;
        for (int32_t i = 0; i < SIDE; i++) {
            if (TILE == 2) input_2(half[i], made);
            else input_4(half[i], made);
            UNROLL for (int32_t j = 0; j < SIDE; j++, to += position) _mm512_mask_storeu_ps(to, mask, made[j]);
        }
    }
}

/* Tile t of the products [position][t][channels rounded up to 16] -> output pixels. */
static inline __attribute__((always_inline)) void transform_output(const edged_winograd_f32_params *p, const winograd_unit *u, const float *products, int32_t t,
                                                                   void *const *operands, const int TILE) {
    enum { MOST = WINOGRAD_MOST };
    const int32_t y = (u->row + t / u->across) * TILE, x = t % u->across * TILE, padded = (p->out_c + 15) / 16 * 16;
    const int32_t down = p->out_h - y < TILE ? p->out_h - y : TILE, across = p->out_w - x < TILE ? p->out_w - x : TILE;
    const __m512 low = _mm512_set1_ps(p->act_min), high = _mm512_set1_ps(p->act_max);
    const float *residual = operands[4];
    const int SIDE = TILE + 2;
    for (int32_t n = 0; n < p->out_c; n += 16) {
        const __mmask16 mask = edged_mask16(p->out_c - n);
        const __m512 bias = _mm512_loadu_ps((const float *)operands[3] + n);
        const ptrdiff_t first = (((ptrdiff_t)u->image * p->out_h + y) * p->out_w + x) * p->out_c + n;
        __m512 half[MOST][MOST], line[MOST], made[MOST];
        for (int32_t i = 0; i < SIDE; i++) {
            const float *from = products + ((ptrdiff_t)i * SIDE * u->tiles + t) * padded + n;
            UNROLL for (int32_t j = 0; j < SIDE; j++) line[j] = _mm512_loadu_ps(from + (ptrdiff_t)j * u->tiles * padded);
            if (TILE == 2) output_2(line, made);
            else output_4(line, made);
            UNROLL for (int32_t j = 0; j < TILE; j++) half[j][i] = made[j];
        }
        for (int32_t j = 0; j < across; j++) {
            if (TILE == 2) output_2(half[j], made);
            else output_4(half[j], made);
            for (int32_t i = 0; i < down; i++) {
                const ptrdiff_t at = first + ((ptrdiff_t)i * p->out_w + j) * p->out_c;
                __m512 v = _mm512_add_ps(made[i], bias);
                if (residual) v = _mm512_add_ps(v, _mm512_maskz_loadu_ps(mask, residual + at));
                _mm512_mask_storeu_ps((float *)operands[0] + at, mask, _mm512_min_ps(high, _mm512_max_ps(low, v)));
            }
        }
    }
}

/* products[position] = inputs[position] [tiles, in_c] * weights[position] [in_c, out_c], for one position. */
static void multiply(const edged_winograd_f32_params *p, int32_t tiles, const float *inputs, const float *weights, float *products) {
    static const float ZEROS[F32_LANES * F32_BLOCKS];
    const int32_t none = 0, blocks = (p->out_c + F32_LANES - 1) / F32_LANES, calls = (tiles + F32_ROWS - 1) / F32_ROWS;
    f32_tile t = {.segments = &none, .segment_count = 1, .length = p->in_c, .stride = (ptrdiff_t)p->in_c * F32_LANES, .bias = ZEROS,
                  .pitch = (ptrdiff_t)blocks * F32_LANES, .tail = 0xFFFF, .act_min = -__builtin_inff(), .act_max = __builtin_inff()};
    for (int32_t first = 0, count; first < blocks; first += count) {
        const int32_t groups = (blocks - first + F32_BLOCKS - 1) / F32_BLOCKS;
        count = (blocks - first + groups - 1) / groups;
        t.weights = weights + first * t.stride;
        for (int32_t i = 0, begin = 0, rows; i < calls; i++, begin += rows) {
            rows = tiles / calls + (i < tiles % calls);
            for (int32_t r = 0; r < rows; r++) t.row[r] = inputs + (ptrdiff_t)(begin + r) * p->in_c;
            t.out = products + begin * t.pitch + first * F32_LANES;
            F32_TILES[rows - 1][count - 1](&t);
        }
    }
}

static inline __attribute__((always_inline)) void run(const edged_winograd_f32_params *p, void *const *operands, const edged_task *task, const int TILE) {
    const int32_t positions = (TILE + 2) * (TILE + 2), padded = (p->out_c + 15) / 16 * 16;
    float *inputs = task->scratch, *products = inputs + winograd_inputs(p);
    for (uint32_t index = task->begin; index < task->end; index++) {
        const winograd_unit u = winograd_unit_of(p, index);
        const float *image = (const float *)operands[1] + (ptrdiff_t)u.image * p->in_h * p->in_w * p->in_c;
        for (int32_t t = 0; t < u.tiles; t++) transform_input(p, &u, image, t, inputs, TILE);
        for (int32_t i = 0; i < positions; i++)
            multiply(p, u.tiles, inputs + (ptrdiff_t)i * u.tiles * p->in_c, (const float *)operands[2] + (ptrdiff_t)i * padded * p->in_c,
                     products + (ptrdiff_t)i * u.tiles * padded);
        for (int32_t t = 0; t < u.tiles; t++) transform_output(p, &u, products, t, operands, TILE);
    }
}

void winograd_f32_8x48_avx512(const void *params, void *const *operands, const edged_task *task) {
    const edged_winograd_f32_params *p = params;
    if (p->tile == 2) run(p, operands, task, 2);
    else run(p, operands, task, 4);
}
