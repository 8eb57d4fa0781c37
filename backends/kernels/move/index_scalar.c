/* Data movement whose addresses come out of tensors: gather, scatter, one-hot, reverse-sequence. Every index is checked here, at
 * use, because its tensor may lie in memory that a client shares. */
#include "../abi.h"
#include "../params.h"

#include <string.h>

/* Element i of an index tensor; the value is read once. */
static int64_t index_at(const void *indices, size_t i, int32_t wide) {
    if (wide) {
        int64_t value;
        memcpy(&value, (const char *)indices + i * 8, 8);
        return value;
    }
    int32_t value;
    memcpy(&value, (const char *)indices + i * 4, 4);
    return value;
}

static int64_t clamped(int64_t i, int32_t n) {
    return i < 0 ? 0 : i >= n ? n - 1 : i;
}

void gather_scalar(const void *params, void *const *operands, const edged_task *task) {
    const edged_gather_params *p = params;
    const size_t inner = (size_t)p->inner;
    char *out = operands[0];
    const char *in = operands[1];
    for (uint32_t row = task->begin; row < task->end; row++) {
        const uint32_t slab = row / (uint32_t)p->count, i = row % (uint32_t)p->count, batch = slab / (uint32_t)p->outer;
        const int64_t at = clamped(index_at(operands[2], (size_t)batch * (size_t)p->count + i, p->wide), p->axis);
        memcpy(out + row * inner, in + ((size_t)slab * (size_t)p->axis + (size_t)at) * inner, inner);
    }
}

void gather_nd_scalar(const void *params, void *const *operands, const edged_task *task) {
    const edged_gather_nd_params *p = params;
    const size_t inner = (size_t)p->inner;
    const int32_t n[5] = {p->n0, p->n1, p->n2, p->n3, p->n4};
    for (uint32_t row = task->begin; row < task->end; row++) {
        size_t at = 0;
        for (int32_t k = 0; k < p->depth; k++) {
            const size_t place = (size_t)row * (size_t)p->depth + (size_t)k;
            at = at * (size_t)n[k] + (size_t)clamped(index_at(operands[2], place, p->wide), n[k]);
        }
        memcpy((char *)operands[0] + row * inner, (const char *)operands[1] + at * inner, inner);
    }
}

/* Row number of out for index tuple i, or -1. */
static int64_t scatter_row(const edged_scatter_nd_params *p, const void *indices, int32_t i) {
    const int32_t n[5] = {p->n0, p->n1, p->n2, p->n3, p->n4};
    int64_t at = 0;
    for (int32_t k = 0; k < p->depth; k++) {
        const int64_t index = index_at(indices, (size_t)i * (size_t)p->depth + (size_t)k, p->wide);
        if (index < 0 || index >= n[k]) {
            return -1;
        }
        at = at * n[k] + index;
    }
    return at;
}

/* Sums of integers wrap, as the unsigned type says. */
#define SCATTER(name, T)                                                                                                        \
    void name(const void *params, void *const *operands, const edged_task *task) {                                               \
        const edged_scatter_nd_params *p = params;                                                                               \
        const int32_t n[5] = {p->n0, p->n1, p->n2, p->n3, p->n4};                                                                \
        size_t total = (size_t)p->inner;                                                                                         \
        for (int32_t k = 0; k < p->depth; k++) {                                                                                 \
            total *= (size_t)n[k];                                                                                               \
        }                                                                                                                        \
        (void)task;                                                                                                              \
        memset(operands[0], 0, total * sizeof(T));                                                                               \
        for (int32_t i = 0; i < p->rows; i++) {                                                                                  \
            const int64_t at = scatter_row(p, operands[1], i);                                                                   \
            if (at < 0) {                                                                                                        \
                continue;                                                                                                        \
            }                                                                                                                    \
            T *out = (T *)operands[0] + at * p->inner;                                                                           \
            const T *row = (const T *)operands[2] + (ptrdiff_t)i * p->inner;                                                     \
            for (int32_t j = 0; j < p->inner; j++) {                                                                             \
                out[j] = (T)(out[j] + row[j]);                                                                                   \
            }                                                                                                                    \
        }                                                                                                                        \
    }

SCATTER(scatter_nd_f32_scalar, float)
SCATTER(scatter_nd_s8_scalar, uint8_t)
SCATTER(scatter_nd_s32_scalar, uint32_t)
SCATTER(scatter_nd_s64_scalar, uint64_t)

void one_hot_scalar(const void *params, void *const *operands, const edged_task *task) {
    const edged_one_hot_params *p = params;
    const size_t size = (size_t)p->size;
    for (uint32_t o = task->begin; o < task->end; o++) {
        for (int32_t d = 0; d < p->depth; d++) {
            char *out = (char *)operands[0] + ((size_t)o * (size_t)p->depth + (size_t)d) * (size_t)p->inner * size;
            for (int32_t i = 0; i < p->inner; i++) {
                const int64_t index = index_at(operands[1], (size_t)o * (size_t)p->inner + (size_t)i, p->wide);
                memcpy(out + (size_t)i * size, index == d ? operands[2] : operands[3], size);
            }
        }
    }
}

void reverse_sequence_scalar(const void *params, void *const *operands, const edged_task *task) {
    const edged_reverse_sequence_params *p = params;
    const size_t inner = (size_t)p->inner;
    const int32_t dims[2] = {p->steps_first ? p->steps : p->batch, p->steps_first ? p->batch : p->steps};
    const size_t slab = (size_t)dims[0] * (size_t)p->middle * (size_t)dims[1];
    for (uint32_t o = task->begin; o < task->end; o++) {
        for (size_t row = 0; row < slab; row++) {
            const int32_t last = (int32_t)(row % (size_t)dims[1]);
            const int32_t first = (int32_t)(row / (size_t)dims[1] / (size_t)p->middle);
            const int32_t batch = p->steps_first ? last : first, step = p->steps_first ? first : last;
            int64_t length = index_at(operands[2], (size_t)batch, p->wide);
            length = length > p->steps ? p->steps : length;
            const ptrdiff_t hop = step < length ? (ptrdiff_t)(length - 1 - 2 * (int64_t)step) : 0;
            const ptrdiff_t pitch = p->steps_first ? (ptrdiff_t)p->middle * dims[1] : 1;
            memcpy((char *)operands[0] + (o * slab + row) * inner,
                   (const char *)operands[1] + ((ptrdiff_t)(o * slab + row) + hop * pitch) * (ptrdiff_t)inner, inner);
        }
    }
}
