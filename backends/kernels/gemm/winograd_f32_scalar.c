/* Winograd convolution, portable C. Packed weights with NR = KR = 1 are [positions][out_c][in_c]. */
#include "../abi.h"
#include "../fixedpoint.h"
#include "winograd.h"

/* B' and A' of F(2x2, 3x3) and F(4x4, 3x3), rows padded to WINOGRAD_MOST. */
static const float INPUT[2][6][6] = {{{1, 0, -1, 0}, {0, 1, 1, 0}, {0, -1, 1, 0}, {0, 1, 0, -1}},
                                     {{4, 0, -5, 0, 1, 0},
                                      {0, -4, -4, 1, 1, 0},
                                      {0, 4, -4, -1, 1, 0},
                                      {0, -2, -1, 2, 1, 0},
                                      {0, 2, -1, -2, 1, 0},
                                      {0, 4, 0, -5, 0, 1}}};
static const float OUTPUT[2][4][6] = {
    {{1, 1, 1, 0}, {0, 1, -1, -1}},
    {{1, 1, 1, 1, 1, 0}, {0, 1, -1, 2, -2, 0}, {0, 1, 1, 4, 4, 0}, {0, 1, -1, 8, -8, 1}}};

/* to[i][j] = sum over k, l of left[i][k] * from[k][l] * left[j][l], for `rows` x `rows` results of a `side` x `side` tile. */
static void sandwich(const float (*left)[6], float (*from)[6], float (*to)[6], int32_t rows, int32_t side) {
    float half[6][6];
    for (int32_t i = 0; i < rows; i++)
        for (int32_t l = 0; l < side; l++) {
            half[i][l] = 0.0f;
            for (int32_t k = 0; k < side; k++) half[i][l] += left[i][k] * from[k][l];
        }
    for (int32_t i = 0; i < rows; i++)
        for (int32_t j = 0; j < rows; j++) {
            to[i][j] = 0.0f;
            for (int32_t l = 0; l < side; l++) to[i][j] += half[i][l] * left[j][l];
        }
}

static void transform_input(const edged_winograd_f32_params *p, const winograd_unit *u, const float *image, int32_t t,
                            float *inputs) {
    const int32_t side = p->tile + 2, y = (u->row + t / u->across) * p->tile - p->pad_top,
                  x = t % u->across * p->tile - p->pad_left;
    for (int32_t c = 0; c < p->in_c; c++) {
        float d[6][6], v[6][6];
        for (int32_t i = 0; i < side; i++)
            for (int32_t j = 0; j < side; j++) {
                const int inside = y + i >= 0 && y + i < p->in_h && x + j >= 0 && x + j < p->in_w;
                d[i][j] = inside ? image[((ptrdiff_t)(y + i) * p->in_w + x + j) * p->in_c + c] : 0.0f;
            }
        sandwich(INPUT[p->tile == 4], d, v, side, side);
        for (int32_t i = 0; i < side * side; i++) inputs[((ptrdiff_t)i * u->tiles + t) * p->in_c + c] = v[i / side][i % side];
    }
}

static void transform_output(const edged_winograd_f32_params *p, const winograd_unit *u, float (*m)[6], int32_t t, int32_t n,
                             void *const *operands) {
    float v[6][6];
    const int32_t y = (u->row + t / u->across) * p->tile, x = t % u->across * p->tile;
    const float *bias = operands[3], *residual = operands[4];
    sandwich(OUTPUT[p->tile == 4], m, v, p->tile, p->tile + 2);
    for (int32_t i = 0; i < p->tile && y + i < p->out_h; i++)
        for (int32_t j = 0; j < p->tile && x + j < p->out_w; j++) {
            const ptrdiff_t at = (((ptrdiff_t)u->image * p->out_h + y + i) * p->out_w + x + j) * p->out_c + n;
            const float sum = v[i][j] + bias[n] + (residual ? residual[at] : 0.0f);
            ((float *)operands[0])[at] = edged_clamp_f32(sum, p->act_min, p->act_max);
        }
}

void winograd_f32_1x1_scalar(const void *params, void *const *operands, const edged_task *task) {
    const edged_winograd_f32_params *p = params;
    const int32_t side = p->tile + 2, positions = side * side;
    float *inputs = task->scratch;
    for (uint32_t index = task->begin; index < task->end; index++) {
        const winograd_unit u = winograd_unit_of(p, index);
        const float *image = (const float *)operands[1] + (ptrdiff_t)u.image * p->in_h * p->in_w * p->in_c;
        for (int32_t t = 0; t < u.tiles; t++) transform_input(p, &u, image, t, inputs);
        for (int32_t t = 0; t < u.tiles; t++)
            for (int32_t n = 0; n < p->out_c; n++) {
                float m[6][6];
                for (int32_t i = 0; i < positions; i++) {
                    const float *a = inputs + ((ptrdiff_t)i * u.tiles + t) * p->in_c;
                    const float *w = (const float *)operands[2] + ((ptrdiff_t)i * p->out_c + n) * p->in_c;
                    float sum = 0.0f;
                    for (int32_t c = 0; c < p->in_c; c++) sum += a[c] * w[c];
                    m[i / side][i % side] = sum;
                }
                transform_output(p, &u, m, t, n, operands);
            }
    }
}
