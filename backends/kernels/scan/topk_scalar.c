/* The greatest values of each row, by insertion into the outputs themselves. */
#include <stddef.h>
#include <string.h>

#include "../abi.h"
#include "../params.h"

static void put_place(char *places, int32_t at, int32_t place, int32_t bytes) {
    const int16_t narrow = (int16_t)place;
    memcpy(places + (ptrdiff_t)at * bytes, bytes == 2 ? (const void *)&narrow : (const void *)&place, (size_t)bytes);
}

/* Values stand in `out` in falling order. What a client changes there meanwhile can only change values, never an address. */
#define TOPK(suffix, T, GREATER)                                                                                                 \
    static void row_##suffix(const T *in, T *out, char *places, const edged_topk_params *p) {                                    \
        const int32_t bytes = p->index_bytes;                                                                                    \
        int32_t kept = 0;                                                                                                        \
        for (int32_t i = 0; i < p->depth; i++) {                                                                                 \
            const T x = in[i];                                                                                                   \
            int32_t at = kept;                                                                                                   \
            if (kept == p->count) {                                                                                              \
                const T y = out[kept - 1];                                                                                       \
                if (!(GREATER)) continue;                                                                                        \
                at = --kept;                                                                                                     \
            }                                                                                                                    \
            for (; at > 0; at--) {                                                                                               \
                const T y = out[at - 1];                                                                                         \
                if (!(GREATER)) break;                                                                                           \
                out[at] = y;                                                                                                     \
                memcpy(places + (ptrdiff_t)at * bytes, places + (ptrdiff_t)(at - 1) * bytes, (size_t)bytes);                     \
            }                                                                                                                    \
            out[at] = x;                                                                                                         \
            put_place(places, at, i, bytes);                                                                                     \
            kept++;                                                                                                              \
        }                                                                                                                        \
    }                                                                                                                            \
    void topk_##suffix##_scalar(const void *params, void *const *operands, const edged_task *task) {                             \
        const edged_topk_params *p = params;                                                                                     \
        for (uint32_t row = task->begin; p->count > 0 && row < task->end; row++) {                                               \
            row_##suffix((const T *)operands[2] + (ptrdiff_t)row * p->depth, (T *)operands[0] + (ptrdiff_t)row * p->count,       \
                         (char *)operands[1] + (ptrdiff_t)row * p->count * p->index_bytes, p);                                   \
        }                                                                                                                        \
    }

TOPK(f32, float, x > y || (x != x && y == y))
TOPK(s8, int8_t, x > y)
TOPK(u8, uint8_t, x > y)
TOPK(s16, int16_t, x > y)
TOPK(s32, int32_t, x > y)
TOPK(s64, int64_t, x > y)
