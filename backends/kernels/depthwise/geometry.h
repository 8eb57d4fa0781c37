/* Where the interleaved depthwise algorithm keeps things: shared by its ISA files and stated for whoever packs its weights.
 *
 * Four input rows become one row of 4-byte groups: byte i of group (column, channel) is row i there, as uint8 (value xor 0x80). One 4-way dot product
 * then covers four taps of a column, and two output rows share it, their weights shifted by one row. A pass computes
 * `rows` output rows from `groups` interleaved rows. Columns are split by column mod stride_w (a phase), so that neighbouring outputs
 * always read neighbouring groups, whatever the stride.
 *
 * Weights: [vectors][rows][groups][kernel_w][planes] of NR channels x 4 bytes. Tap (g, kx) byte i is the weight of input row
 * 4 g + i of the pass, i.e. of ky = 4 g + i - r * stride_h for output row r, or 0. `planes` is 2 where weight - weight_zero does not fit
 * int8: the two planes add up to it. `vectors` is the least number after which channels repeat: lanes run over (column, channel)
 * flat, lane l of vector v being channel (v * NR + l) mod channels.
 * Bias (the zero points folded in: bias - (input_zero + 128) * sum of weights), multiplier and shift are [vectors][NR] alike.
 */
#ifndef EDGED_DEPTHWISE_GEOMETRY_H
#define EDGED_DEPTHWISE_GEOMETRY_H

#include "../params.h"

enum { EDGED_DW_PHASES = 4, EDGED_DW_TAPS = 64, EDGED_DW_SLACK = 512 };

/* Sizes of one call, in elements of int8 or 4-byte groups. */
typedef struct edged_dw_plan {
    int32_t channels;                 /* of the output: input channels * multiplier */
    int32_t phase[EDGED_DW_PHASES];   /* first column of each phase in an interleaved row */
    int32_t columns;                  /* of an interleaved row, all phases */
    int32_t offsets[EDGED_DW_TAPS];   /* column offset of tap kx */
} edged_dw_plan;

/* Columns of phase f among `wide` columns. */
static inline int32_t edged_dw_phase_columns(int32_t wide, int32_t stride, int32_t f) {
    return (wide - f + stride - 1) / stride;
}

/* Vectors of 16 lanes after which `channels` repeat: channels / gcd(channels, 16). */
static inline int32_t edged_dw_vectors(int32_t channels) {
    const int32_t power = channels & -channels;
    return channels / (power > 16 ? 16 : power);
}

static inline edged_dw_plan edged_dw_plan_of(const edged_depthwise_s8_params *p) {
    edged_dw_plan plan = {.channels = p->channels * p->multiplier};
    const int32_t wide = (p->out_w - 1) * p->stride_w + (p->kernel_w - 1) * p->dilation_w + 1;
    for (int32_t f = 0; f < p->stride_w; f++) {
        plan.phase[f] = plan.columns;
        plan.columns += edged_dw_phase_columns(wide, p->stride_w, f);
    }
    for (int32_t kx = 0; kx < p->kernel_w; kx++) {
        const int32_t at = kx * p->dilation_w;
        plan.offsets[kx] = plan.phase[at % p->stride_w] + at / p->stride_w;
    }
    return plan;
}

#endif
