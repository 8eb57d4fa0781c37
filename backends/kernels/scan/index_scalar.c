/* Rows by index with arithmetic or defaults: SPARSE_TO_DENSE, lookups in int8 tables, BUCKETIZE. Every index is checked here, at use. */
#include <stddef.h>
#include <string.h>

#include "../abi.h"
#include "../params.h"

/* Element i of an index tensor; the value is read once. */
static int64_t index_at(const void *indices, size_t i, int32_t wide) {
    int64_t value = 0;
    int32_t narrow;
    if (wide) {
        memcpy(&value, (const char *)indices + i * 8, 8);
        return value;
    }
    memcpy(&narrow, (const char *)indices + i * 4, 4);
    return narrow;
}

/* Place of index tuple i in out, or -1. */
static int64_t place_of(const edged_sparse_to_dense_params *p, const void *indices, int32_t i) {
    const int32_t n[5] = {p->n0, p->n1, p->n2, p->n3, p->n4};
    int64_t at = 0;
    for (int32_t k = 0; k < p->depth; k++) {
        const int64_t index = index_at(indices, (size_t)i * (size_t)p->depth + (size_t)k, p->wide);
        if (index < 0 || index >= n[k]) return -1;
        at = at * n[k] + index;
    }
    return at;
}

void sparse_to_dense_scalar(const void *params, void *const *operands, const edged_task *task) {
    const edged_sparse_to_dense_params *p = params;
    const int32_t n[5] = {p->n0, p->n1, p->n2, p->n3, p->n4};
    const size_t size = (size_t)p->size;
    char *out = operands[0];
    size_t total = 1;
    (void)task;
    for (int32_t k = 0; k < p->depth; k++) total *= (size_t)n[k];
    for (size_t i = 0; i < total; i++) memcpy(out + i * size, operands[3], size);
    for (int32_t i = 0; i < p->rows; i++) {
        const int64_t at = place_of(p, operands[1], i);
        if (at >= 0) memcpy(out + (size_t)at * size, (const char *)operands[2] + (p->single ? 0 : (size_t)i * size), size);
    }
}

void embedding_s8_scalar(const void *params, void *const *operands, const edged_task *task) {
    const edged_embedding_s8_params *p = params;
    for (uint32_t i = task->begin; i < task->end; i++) {
        const int64_t id = index_at(operands[2], i, 0);
        const ptrdiff_t row = (ptrdiff_t)(id < 0 ? 0 : (id >= p->rows ? p->rows - 1 : id));
        const float scale = ((const float *)operands[3])[p->single ? 0 : row];
        const int8_t *from = (const int8_t *)operands[1] + row * p->inner;
        float *out = (float *)operands[0] + (ptrdiff_t)i * p->inner;
        for (int32_t j = 0; j < p->inner; j++) out[j] = (float)from[j] * scale;
    }
}

#define BUCKETIZE(suffix, T)                                                                                                     \
    void bucketize_##suffix##_scalar(const void *params, void *const *operands, const edged_task *task) {                        \
        const edged_bucketize_params *p = params;                                                                                \
        const float *boundaries = operands[2];                                                                                   \
        for (uint32_t i = task->begin; i < task->end; i++) {                                                                     \
            const T x = ((const T *)operands[1])[i];                                                                             \
            int32_t low = 0, high = p->count;                                                                                    \
            while (low < high) {                                                                                                 \
                const int32_t middle = low + (high - low) / 2;                                                                   \
                if ((double)boundaries[middle] <= (double)x || x != x) low = middle + 1;                                         \
                else high = middle;                                                                                              \
            }                                                                                                                    \
            ((int32_t *)operands[0])[i] = low;                                                                                   \
        }                                                                                                                        \
    }

BUCKETIZE(f32, float)
BUCKETIZE(s32, int32_t)
BUCKETIZE(s64, int64_t)
