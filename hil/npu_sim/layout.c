/* The self-test of tflite_abi.h against the runtime that has called us: every tensor must read like one. */
#define _POSIX_C_SOURCE 200809L
#include "tflite_abi.h"

#include <string.h>

static size_t element_bytes(int type) {
    switch (type) {
        case TFL_FLOAT32:
        case TFL_INT32: return 4;
        case TFL_UINT8:
        case TFL_BOOL:
        case TFL_INT8: return 1;
        case TFL_INT16: return 2;
        case TFL_INT64: return 8;
        default: return 0; /* not looked at */
    }
}

static const char *tensor_problem(const tfl_tensor *t) {
    if (t->type < 0 || t->type > 64) return "a tensor's type is out of range";
    if (t->dims == NULL) return t->bytes == 0 ? "" : "a tensor has bytes and no shape";
    if (t->dims->size < 0 || t->dims->size > 8) return "a tensor's rank is out of range";
    size_t elements = 1;
    for (int i = 0; i < t->dims->size; i++) elements *= (size_t)t->dims->data[i];
    const size_t width = element_bytes(t->type);
    if (width != 0 && t->bytes != 0 && t->bytes != elements * width) return "a tensor's bytes are not those of its shape";
    if (t->name != NULL && strnlen(t->name, 4096) == 4096) return "a tensor's name does not end";
    if (t->quantization.type < 0 || t->quantization.type > 2) return "a tensor's quantisation is of no known kind";
    if (t->quantization.type == TFL_AFFINE && t->type == TFL_INT8) {
        const tfl_affine *q = t->quantization.params;
        if (q == NULL || q->scale == NULL || q->scale->size < 1) return "an int8 tensor's scales cannot be read";
        if (q->scale->size == 1 && q->scale->data[0] != t->params.scale) return "a tensor's two scales differ";
    }
    return "";
}

const char *tfl_layout_problem(tfl_context *context) {
    tfl_ints *plan = NULL;
    if (context->tensors_size > (1u << 24) || context->tensors == NULL) return "the tensors cannot be found";
    for (size_t i = 0; i < context->tensors_size; i++) {
        const char *problem = tensor_problem(&context->tensors[i]);
        if (*problem) return problem;
    }
    if (context->get_execution_plan(context, &plan) != TFL_OK || plan == NULL) return "there is no execution plan";
    for (int i = 0; i < plan->size; i++) {
        tfl_node *node = NULL;
        tfl_registration *registration = NULL;
        if (context->get_node(context, plan->data[i], &node, &registration) != TFL_OK) return "a node cannot be read";
        if (registration->builtin_code < 0 || registration->builtin_code > 1024) return "a node's op is out of range";
        for (int k = 0; k < node->inputs->size; k++)
            if (node->inputs->data[k] >= (int)context->tensors_size) return "a node's input is out of range";
    }
    return "";
}
