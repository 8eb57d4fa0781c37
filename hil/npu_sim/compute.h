/* int8 layers of the simulated NPU: plain loops over edged's own fixed-point arithmetic, so the bytes are those of every other device. */
#ifndef NPU_SIM_COMPUTE_H
#define NPU_SIM_COMPUTE_H

#include "tflite_abi.h"

#define SIM_MAX_CHANNELS 4096

typedef struct {
    int code; /* TFL_OP_... */
    int inputs[3], output; /* tensor indices; -1: absent */
    int stride_h, stride_w, dilation_h, dilation_w, pad_top, pad_left, depth_multiplier;
    int32_t low, high; /* of the fused activation */
    int32_t *multipliers, *shifts; /* by output channel */
    int channels;
} sim_layer;

/* Does the NPU know this node? Weights and bias must be constant, data int8. */
bool sim_knows(tfl_context *context, const tfl_node *node, int code);
/* Reads the node into `layer`, which owns its multipliers; false when out of memory. */
bool sim_read(tfl_context *context, const tfl_node *node, int code, sim_layer *layer);
/* Computes the layer; data[i] is where tensor i lies. */
void sim_compute(tfl_context *context, const sim_layer *layer, void *const *data);

#endif
