/* Where the interleaved depthwise algorithm keeps things: shared by its ISA files and stated for whoever packs its
 * weights.
 *
 * Four pixels become one row of 4-byte groups, one group a (column, channel), bytes as uint8 (value xor 0x80): one
 * 4-way dot product then covers four taps. Two ways:
 *  - columns (quads = 0): byte i is input row 4 g + i of a pass (rows dilation_h apart). Output rows of one pass
 *    share a group, their weights shifted by stride_h. Columns are split by column mod stride_w (a phase), so that
 *    neighbouring outputs always read neighbouring groups.
 *  - quads (stride 2 both ways, no dilation): byte i is pixel (2 g + i / 2, 2 x + i mod 2) of the padded input. Rows
 *    of groups are kept from one output row to the next.
 *
 * Weights: [vectors][rows][groups][taps_w][planes] of NR channels x 4 bytes: for output row r of the pass, group g,
 * group column k, byte i the weight of (4 g + i - r * stride_h, k), or with quads of (2 g + i / 2, 2 k + i mod 2); 0
 * outside the kernel. `planes` is 2 where weight - weight_zero does not fit int8: the two planes add up to it.
 * `vectors` is the least number after which channels repeat: lanes run over (column, channel) flat, lane l of vector v
 * being channel (v * NR + l) mod channels. Bias (the zero points folded in: bias - (input_zero + 128) * sum of
 * weights), multiplier and shift are [vectors][NR] alike.
 */
#ifndef EDGED_DEPTHWISE_GEOMETRY_H
#define EDGED_DEPTHWISE_GEOMETRY_H

#include "../params.h"

enum { EDGED_DW_PHASES = 4, EDGED_DW_TAPS = 64, EDGED_DW_SLACK = 512, EDGED_DW_GAP = 64 };

/* The interleaved form of one shape. */
typedef struct edged_dw_plan {
    int32_t channels;                 /* of the output: input channels * multiplier */
    int32_t phases;
    int32_t phase[EDGED_DW_PHASES];   /* first column of each phase in a row of groups */
    int32_t columns;                  /* of a row of groups, all phases */
    int32_t taps_w;                   /* group columns that an output reads of a row */
    int32_t offsets[EDGED_DW_TAPS];   /* column of each, from the output's own */
    int32_t from_phase[EDGED_DW_TAPS];
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
    edged_dw_plan plan = {.channels = p->channels * p->multiplier, .phases = p->quads ? 1 : p->stride_w};
    plan.taps_w = p->quads ? (p->kernel_w + 1) / 2 : p->kernel_w;
    const int32_t dilation = p->quads ? 1 : p->dilation_w;
    const int32_t wide = (p->out_w - 1) * plan.phases + (plan.taps_w - 1) * dilation + 1;
    for (int32_t f = 0; f < plan.phases; f++) {
        plan.phase[f] = plan.columns;
        plan.columns += edged_dw_phase_columns(wide, plan.phases, f);
    }
    for (int32_t k = 0; k < plan.taps_w; k++) {
        plan.from_phase[k] = k * dilation % plan.phases;
        plan.offsets[k] = plan.phase[plan.from_phase[k]] + k * dilation / plan.phases;
    }
    return plan;
}

/* Groups of one row; phases and rows stand EDGED_DW_GAP apart, since vectors are written whole. */
static inline int32_t edged_dw_row_groups(const edged_dw_plan *plan, int32_t block) {
    return plan->columns * block + plan->phases * EDGED_DW_GAP;
}

#endif
