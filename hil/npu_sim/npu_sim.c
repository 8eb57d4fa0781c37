/* The NPU of the default rig: a TFLite external delegate in software.
 *
 * Options (all text): custom = the name of a custom op that it takes too, standing in for a vendor's chip (it answers zeros);
 * ops = builtin codes, comma-separated ("3,4,9"; default: all that it knows); latency_us per run; mood = crash | hang | leak | wrong |
 * fail on run number `at` (1: the first; default 1) and later; mood_file = a path whose text, read before each run, goes over `mood`.
 */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "compute.h"

#define EXPORT __attribute__((visibility("default")))
#define LEAK_BYTES ((size_t)32 << 20)

typedef struct {
    tfl_delegate base;
    char ops[128], custom[64], mood[16], mood_file[512];
    long latency_us, at, runs;
} npu;

typedef struct { /* one subset of nodes that we run */
    npu *owner;
    sim_layer *layers;
    int count;
    size_t tensors;
    void **own;  /* memory of tensors that live only inside the subset */
    void **data; /* where each tensor lies in this run */
} subset;

static bool wanted(const npu *it, int code) {
    char list[132], *rest = list, *word;
    if (it->ops[0] == '\0') return true;
    snprintf(list, sizeof list, "%s", it->ops);
    while ((word = strtok_r(rest, ",", &rest)) != NULL)
        if (atoi(word) == code) return true;
    return false;
}

static bool stands_in(const npu *it, const tfl_registration *registration) {
    return it->custom[0] != '\0' && registration->custom_name != NULL && strcmp(it->custom, registration->custom_name) == 0;
}

static void subset_free(tfl_context *context, void *buffer) {
    subset *it = buffer;
    (void)context;
    if (it == NULL) return;
    for (int i = 0; i < it->count; i++) free(it->layers[i].multipliers), free(it->layers[i].shifts);
    for (size_t i = 0; it->own != NULL && i < it->tensors; i++) free(it->own[i]);
    free(it->layers), free(it->own), free(it->data), free(it);
}

static void *subset_init(tfl_context *context, const char *buffer, size_t length) {
    const tfl_params *params = (const void *)buffer;
    subset *it = calloc(1, sizeof *it);
    (void)length;
    if (it == NULL) return NULL;
    it->owner = (npu *)params->delegate;
    it->tensors = context->tensors_size;
    it->layers = calloc((size_t)params->nodes_to_replace->size + 1, sizeof *it->layers);
    it->own = calloc(it->tensors, sizeof *it->own);
    it->data = calloc(it->tensors, sizeof *it->data);
    bool good = it->layers != NULL && it->own != NULL && it->data != NULL;
    for (int i = 0; good && i < params->nodes_to_replace->size; i++) {
        tfl_node *node = NULL;
        tfl_registration *registration = NULL;
        good = context->get_node(context, params->nodes_to_replace->data[i], &node, &registration) == TFL_OK &&
               sim_read(context, node, registration->builtin_code, &it->layers[it->count]);
        it->count++;
    }
    if (good) return it;
    subset_free(context, it);
    return NULL;
}

/* Inputs and outputs of the subset have memory from the runtime; the tensors in between get ours. */
static tfl_status subset_prepare(tfl_context *context, tfl_node *node) {
    subset *it = node->user_data;
    if (it == NULL) return TFL_ERROR;
    for (int i = 0; i < it->count; i++) {
        const int index = it->layers[i].output;
        bool outside = false;
        for (int k = 0; k < node->outputs->size; k++) outside = outside || node->outputs->data[k] == index;
        if (outside || it->own[index] != NULL) continue;
        it->own[index] = malloc(context->tensors[index].bytes + 1);
        if (it->own[index] == NULL) return TFL_ERROR;
    }
    return TFL_OK;
}

static void read_mood(npu *it) {
    if (it->mood_file[0] == '\0') return;
    FILE *file = fopen(it->mood_file, "r");
    it->mood[0] = '\0';
    if (file == NULL) return;
    if (fscanf(file, "%15s", it->mood) != 1) it->mood[0] = '\0';
    fclose(file);
}

/* What goes wrong in this run, if anything; true: spoil the result. */
static tfl_status misbehave(tfl_context *context, npu *it, bool *spoil) {
    *spoil = false;
    read_mood(it);
    if (++it->runs < it->at || it->mood[0] == '\0') return TFL_OK;
    if (strcmp(it->mood, "crash") == 0) abort();
    if (strcmp(it->mood, "hang") == 0)
        for (;;) pause();
    if (strcmp(it->mood, "fail") == 0) {
        context->report_error(context, "npu_sim: the device reports a fault");
        return TFL_ERROR;
    }
    if (strcmp(it->mood, "leak") == 0) {
        volatile char *lost = malloc(LEAK_BYTES); /* volatile: or the compiler leaves it out */
        for (size_t i = 0; lost != NULL && i < LEAK_BYTES; i += 4096) lost[i] = 1;
    }
    *spoil = strcmp(it->mood, "wrong") == 0;
    return TFL_OK;
}

static tfl_status subset_invoke(tfl_context *context, tfl_node *node) {
    subset *it = node->user_data;
    bool spoil = false;
    if (misbehave(context, it->owner, &spoil) != TFL_OK) return TFL_ERROR;
    const long wait = it->owner->latency_us;
    const struct timespec pause_for = {wait / 1000000, wait % 1000000 * 1000};
    if (wait > 0) nanosleep(&pause_for, NULL);
    for (size_t i = 0; i < it->tensors; i++)
        it->data[i] = it->own[i] != NULL ? it->own[i] : context->tensors[i].data;
    for (int i = 0; i < it->count; i++) sim_compute(context, &it->layers[i], it->data);
    if (spoil) {
        tfl_tensor *out = &context->tensors[node->outputs->data[0]];
        for (size_t i = 0; i < out->bytes; i++) ((int8_t *)out->data)[i] = (int8_t)(((int8_t *)out->data)[i] ^ 3);
    }
    return TFL_OK;
}

static tfl_status npu_prepare(tfl_context *context, tfl_delegate *delegate) {
    const npu *it = (const npu *)delegate;
    const char *problem = tfl_layout_problem(context);
    if (*problem) {
        context->report_error(context, "npu_sim: this runtime's structures are not as expected: %s", problem);
        return TFL_ERROR;
    }
    tfl_ints *plan = NULL;
    if (context->get_execution_plan(context, &plan) != TFL_OK) return TFL_ERROR;
    tfl_ints *taken = malloc(sizeof(int) * ((size_t)plan->size + 1));
    if (taken == NULL) return TFL_ERROR;
    taken->size = 0;
    for (int i = 0; i < plan->size; i++) {
        tfl_node *node = NULL;
        tfl_registration *registration = NULL;
        if (context->get_node(context, plan->data[i], &node, &registration) != TFL_OK) continue;
        const int code = registration->builtin_code;
        const bool ours = code == TFL_OP_CUSTOM ? stands_in(it, registration) : wanted(it, code) && sim_knows(context, node, code);
        if (ours) taken->data[taken->size++] = plan->data[i];
    }
    const tfl_registration kernel = {
        .init = subset_init, .free = subset_free, .prepare = subset_prepare, .invoke = subset_invoke,
        .builtin_code = TFL_OP_CUSTOM, .custom_name = "npu_sim", .version = 1,
    };
    const tfl_status status = taken->size ? context->replace(context, kernel, taken, delegate) : TFL_OK;
    free(taken);
    return status;
}

static bool take_option(npu *it, const char *key, const char *value) {
    if (strcmp(key, "ops") == 0) return snprintf(it->ops, sizeof it->ops, "%s", value) < (int)sizeof it->ops;
    if (strcmp(key, "custom") == 0) return snprintf(it->custom, sizeof it->custom, "%s", value) < (int)sizeof it->custom;
    if (strcmp(key, "mood") == 0) return snprintf(it->mood, sizeof it->mood, "%s", value) < (int)sizeof it->mood;
    if (strcmp(key, "mood_file") == 0)
        return snprintf(it->mood_file, sizeof it->mood_file, "%s", value) < (int)sizeof it->mood_file;
    char *end = NULL;
    const long number = strtol(value, &end, 10);
    if (*value == '\0' || *end != '\0' || number < 0) return false;
    if (strcmp(key, "latency_us") == 0) return it->latency_us = number, true;
    if (strcmp(key, "at") == 0) return it->at = number, true;
    return false;
}

EXPORT void *tflite_plugin_create_delegate(char **keys, char **values, size_t count, void (*report)(const char *)) {
    npu *it = calloc(1, sizeof *it);
    char text[160];
    if (it == NULL) return NULL;
    it->base.prepare = npu_prepare;
    it->at = 1;
    for (size_t i = 0; i < count; i++) {
        if (take_option(it, keys[i], values[i])) continue;
        snprintf(text, sizeof text, "npu_sim: option %.60s = %.60s is not understood", keys[i], values[i]);
        if (report != NULL) report(text);
        free(it);
        return NULL;
    }
    /* With this flag (kTfLiteDelegateFlagsAllowDynamicTensors) the runtime asks us before it prepares nodes: it refuses custom ops that it does not know. */
    it->base.flags = it->custom[0] != '\0';
    return &it->base;
}

EXPORT void tflite_plugin_destroy_delegate(void *delegate) { free(delegate); }
