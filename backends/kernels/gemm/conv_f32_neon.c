/* float convolution and fully connected layers on NEON. */
#include "tile_f32_neon.h"

#define CONV_F32 conv_f32_6x12_neon
#include "conv_f32.inc"

/* Rows of a fully connected layer as the rows of tiles. */
void fc_f32_6x12_neon(const void *params, void *const *operands, const edged_task *task) {
    static const int32_t FIRST = 0;
    const edged_fc_f32_params *p = params;
    const int32_t begin = (int32_t)task->begin * p->columns, stop = (int32_t)task->end * p->columns;
    const int32_t end = stop < p->out_c ? stop : p->out_c;
    f32_tile t = {.segments = &FIRST, .segment_count = 1, .length = p->depth, .stride = (ptrdiff_t)p->depth * F32_LANES,
                  .pitch = p->out_c, .act_min = p->act_min, .act_max = p->act_max};
    for (int32_t m = 0, rows; m < p->rows; m += rows) {
        rows = p->rows - m < F32_ROWS ? p->rows - m : F32_ROWS;
        for (int32_t r = 0; r < rows; r++) t.row[r] = (const float *)operands[1] + (ptrdiff_t)(m + r) * p->depth;
        for (int32_t n = begin, blocks; n < end; n += blocks * F32_LANES) {
            blocks = (end - n + F32_LANES - 1) / F32_LANES;
            blocks = blocks < F32_BLOCKS ? blocks : F32_BLOCKS;
            t.weights = (const float *)operands[2] + n / F32_LANES * t.stride;
            t.bias = (const float *)operands[3] + n;
            t.out = (float *)operands[0] + (ptrdiff_t)m * p->out_c + n;
            t.tail = f32_tail(end - n - (blocks - 1) * F32_LANES);
            F32_TILES[rows - 1][blocks - 1](&t);
        }
    }
}
