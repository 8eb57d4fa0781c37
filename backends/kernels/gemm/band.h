/* Which output rows, channels and input pixels a unit of a convolution touches. Shared by all rows of the family; C99. */
#ifndef EDGED_GEMM_BAND_H
#define EDGED_GEMM_BAND_H

#include <stdint.h>

typedef struct edged_band {
    int32_t image;             /* index in the batch */
    int32_t row, row_end;      /* output rows */
    int32_t channel, channel_end;
} edged_band;

/* Unit `unit` of a step with bands of `band` of out_h rows and blocks of `columns` of out_c channels, channels innermost. */
static inline edged_band edged_band_of(uint32_t unit, int32_t out_h, int32_t band, int32_t out_c, int32_t columns) {
    const uint32_t blocks = (uint32_t)((out_c + columns - 1) / columns);
    const uint32_t bands = (uint32_t)((out_h + band - 1) / band);
    const uint32_t place = unit / blocks;
    edged_band b;
    b.image = (int32_t)(place / bands);
    b.row = (int32_t)(place % bands) * band;
    b.row_end = b.row + band < out_h ? b.row + band : out_h;
    b.channel = (int32_t)(unit % blocks) * columns;
    b.channel_end = b.channel + columns < out_c ? b.channel + columns : out_c;
    return b;
}

#endif
