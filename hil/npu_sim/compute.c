#include "compute.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fixedpoint.h"

static int dim(const tfl_tensor *t, int axis) { return t->dims->data[axis]; }

static const tfl_tensor *input(tfl_context *context, const tfl_node *node, int place) {
    if (place >= node->inputs->size || node->inputs->data[place] < 0) return NULL;
    return &context->tensors[node->inputs->data[place]];
}

bool sim_knows(tfl_context *context, const tfl_node *node, int code) {
    const tfl_tensor *data = input(context, node, 0), *weights = input(context, node, 1), *bias = input(context, node, 2);
    if (data == NULL || data->type != TFL_INT8 || context->tensors[node->outputs->data[0]].type != TFL_INT8) return false;
    if (code == TFL_OP_RESHAPE) return true;
    if (code != TFL_OP_CONV_2D && code != TFL_OP_DEPTHWISE_CONV_2D && code != TFL_OP_FULLY_CONNECTED) return false;
    if (weights == NULL || weights->type != TFL_INT8 || weights->allocation_type != TFL_MMAP_RO) return false;
    if (weights->quantization.type != TFL_AFFINE || node->builtin_data == NULL) return false;
    if (bias != NULL && (bias->type != TFL_INT32 || bias->allocation_type != TFL_MMAP_RO)) return false;
    if (code == TFL_OP_CONV_2D) return dim(data, 3) == dim(weights, 3); /* no groups */
    return code != TFL_OP_FULLY_CONNECTED || ((const tfl_dense *)node->builtin_data)->weights_format == 0;
}

/* QuantizeMultiplier of tensorflow/lite/kernels/internal/quantization_util.cc. */
static void quantise_multiplier(double real, int32_t *multiplier, int32_t *shift) {
    int exponent = 0;
    int64_t fixed = llround(frexp(real, &exponent) * (double)(INT64_C(1) << 31));
    if (fixed == (INT64_C(1) << 31)) fixed /= 2, exponent++;
    if (exponent < -31) exponent = 0, fixed = 0;
    *multiplier = (int32_t)fixed;
    *shift = exponent;
}

static void activation_range(int activation, const tfl_tensor *out, int32_t *low, int32_t *high) {
    const float scale = out->params.scale;
    const int32_t zero = out->params.zero_point;
    const float least = activation == TFL_ACT_RELU_N1_TO_1 ? -1.0f : 0.0f;
    const float most = activation == TFL_ACT_RELU6 ? 6.0f : 1.0f;
    *low = -128, *high = 127;
    if (activation == TFL_ACT_NONE) return;
    const int32_t bottom = zero + (int32_t)roundf(least / scale), top = zero + (int32_t)roundf(most / scale);
    *low = bottom > -128 ? bottom : -128;
    if (activation != TFL_ACT_RELU) *high = top < 127 ? top : 127;
}

static int pad_before(int padding, int size, int kernel, int stride, int dilation) {
    if (padding != TFL_PADDING_SAME) return 0;
    const int out = (size + stride - 1) / stride;
    const int total = (out - 1) * stride + (kernel - 1) * dilation + 1 - size;
    return total > 0 ? total / 2 : 0;
}

static int read_options(const tfl_node *node, int code, sim_layer *layer, int *padding) {
    if (code == TFL_OP_CONV_2D) {
        const tfl_conv *p = node->builtin_data;
        layer->stride_h = p->stride_height, layer->stride_w = p->stride_width;
        layer->dilation_h = p->dilation_height, layer->dilation_w = p->dilation_width;
        *padding = p->padding;
        return p->activation;
    }
    if (code == TFL_OP_DEPTHWISE_CONV_2D) {
        const tfl_depthwise *p = node->builtin_data;
        layer->stride_h = p->stride_height, layer->stride_w = p->stride_width;
        layer->dilation_h = p->dilation_height, layer->dilation_w = p->dilation_width;
        *padding = p->padding;
        return p->activation;
    }
    return ((const tfl_dense *)node->builtin_data)->activation;
}

bool sim_read(tfl_context *context, const tfl_node *node, int code, sim_layer *layer) {
    memset(layer, 0, sizeof *layer);
    layer->code = code;
    for (int i = 0; i < 3; i++) layer->inputs[i] = i < node->inputs->size ? node->inputs->data[i] : -1;
    layer->output = node->outputs->data[0];
    if (code == TFL_OP_RESHAPE || code == TFL_OP_CUSTOM) return true;
    const tfl_tensor *data = input(context, node, 0), *weights = input(context, node, 1);
    const tfl_tensor *out = &context->tensors[layer->output];
    const tfl_affine *q = weights->quantization.params;
    int padding = TFL_PADDING_VALID;
    activation_range(read_options(node, code, layer, &padding), out, &layer->low, &layer->high);
    if (code != TFL_OP_FULLY_CONNECTED) {
        layer->pad_top = pad_before(padding, dim(data, 1), dim(weights, 1), layer->stride_h, layer->dilation_h);
        layer->pad_left = pad_before(padding, dim(data, 2), dim(weights, 2), layer->stride_w, layer->dilation_w);
    }
    layer->channels = code == TFL_OP_DEPTHWISE_CONV_2D ? dim(weights, 3) : dim(weights, 0);
    if (code == TFL_OP_DEPTHWISE_CONV_2D) layer->depth_multiplier = layer->channels / dim(data, 3);
    layer->multipliers = malloc(sizeof(int32_t) * (size_t)layer->channels);
    layer->shifts = malloc(sizeof(int32_t) * (size_t)layer->channels);
    if (layer->multipliers == NULL || layer->shifts == NULL) return false;
    for (int c = 0; c < layer->channels; c++) {
        const double scale = (double)q->scale->data[q->scale->size > 1 ? c : 0];
        const double real = (double)data->params.scale * scale / (double)out->params.scale;
        quantise_multiplier(real, &layer->multipliers[c], &layer->shifts[c]);
    }
    return true;
}

static int8_t finish(const sim_layer *layer, int32_t sum, int c, int32_t zero) {
    const int32_t value = edged_requantise(sum, layer->multipliers[c], layer->shifts[c]) + zero;
    return (int8_t)edged_clamp(value, layer->low, layer->high);
}

typedef struct {
    const tfl_tensor *in, *weights, *out;
    const int8_t *x, *w;
    const int32_t *bias;
    int8_t *y;
} operands;

/* One output value of a (depthwise) convolution. */
static int32_t window(const sim_layer *layer, const operands *o, int b, int row, int col, int c) {
    const int rows = dim(o->in, 1), cols = dim(o->in, 2), depth = dim(o->in, 3);
    const int high = dim(o->weights, 1), wide = dim(o->weights, 2), zero = o->in->params.zero_point;
    const bool depthwise = layer->code == TFL_OP_DEPTHWISE_CONV_2D;
    int32_t sum = o->bias != NULL ? o->bias[c] : 0;
    for (int ky = 0; ky < high; ky++) {
        const int y = row * layer->stride_h - layer->pad_top + ky * layer->dilation_h;
        if (y < 0 || y >= rows) continue;
        for (int kx = 0; kx < wide; kx++) {
            const int x = col * layer->stride_w - layer->pad_left + kx * layer->dilation_w;
            if (x < 0 || x >= cols) continue;
            const int8_t *pixel = o->x + (((size_t)b * rows + y) * cols + x) * depth;
            if (depthwise) {
                sum += (pixel[c / layer->depth_multiplier] - zero) * o->w[((size_t)ky * wide + kx) * layer->channels + c];
                continue;
            }
            const int8_t *taps = o->w + (((size_t)c * high + ky) * wide + kx) * depth;
            for (int i = 0; i < depth; i++) sum += (pixel[i] - zero) * taps[i];
        }
    }
    return sum;
}

static void convolve(const sim_layer *layer, const operands *o) {
    int8_t *y = o->y;
    for (int b = 0; b < dim(o->out, 0); b++)
        for (int row = 0; row < dim(o->out, 1); row++)
            for (int col = 0; col < dim(o->out, 2); col++)
                for (int c = 0; c < layer->channels; c++)
                    *y++ = finish(layer, window(layer, o, b, row, col, c), c, o->out->params.zero_point);
}

static void multiply(const sim_layer *layer, const operands *o) {
    const int depth = dim(o->weights, 1), zero = o->in->params.zero_point;
    const size_t rows = o->in->bytes / (size_t)depth;
    for (size_t r = 0; r < rows; r++)
        for (int c = 0; c < layer->channels; c++) {
            int32_t sum = o->bias != NULL ? o->bias[c] : 0;
            for (int i = 0; i < depth; i++) sum += (o->x[r * depth + i] - zero) * o->w[(size_t)c * depth + i];
            o->y[r * layer->channels + c] = finish(layer, sum, c, o->out->params.zero_point);
        }
}

void sim_compute(tfl_context *context, const sim_layer *layer, void *const *data) {
    const tfl_tensor *out = &context->tensors[layer->output];
    if (layer->code == TFL_OP_CUSTOM) {
        memset(data[layer->output], 0, out->bytes); /* the first output; the others stay as they are */
        return;
    }
    if (layer->code == TFL_OP_RESHAPE) {
        memmove(data[layer->output], data[layer->inputs[0]], out->bytes);
        return;
    }
    const operands o = {
        .in = &context->tensors[layer->inputs[0]],
        .weights = &context->tensors[layer->inputs[1]],
        .out = out,
        .x = data[layer->inputs[0]],
        .w = data[layer->inputs[1]],
        .bias = layer->inputs[2] >= 0 ? data[layer->inputs[2]] : NULL,
        .y = data[layer->output],
    };
    if (layer->code == TFL_OP_FULLY_CONNECTED) multiply(layer, &o);
    else convolve(layer, &o);
}
