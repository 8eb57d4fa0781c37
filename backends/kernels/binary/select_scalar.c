/* A choice between two tensors by a third, all broadcast. */
#include "../abi.h"
#include "../params.h"

#include <string.h>

void select_scalar(const void *params, void *const *operands, const edged_task *task) {
    const edged_select_params *p = params;
    const size_t size = (size_t)p->size;
    const int32_t n[4] = {p->n0, p->n1, p->n2, p->n3};
    const int32_t a[4] = {p->a0, p->a1, p->a2, p->a3}, b[4] = {p->b0, p->b1, p->b2, p->b3}, c[4] = {p->c0, p->c1, p->c2, p->c3};
    for (uint32_t unit = task->begin; unit < task->end; unit++) {
        ptrdiff_t at[3] = {0, 0, 0};
        uint32_t rest = unit;
        for (int d = 3; d >= 0; d--) {
            const int32_t i = (int32_t)(rest % (uint32_t)n[d]);
            rest /= (uint32_t)n[d];
            at[0] += (ptrdiff_t)i * a[d];
            at[1] += (ptrdiff_t)i * b[d];
            at[2] += (ptrdiff_t)i * c[d];
        }
        char *out = (char *)operands[0] + (size_t)unit * (size_t)p->n4 * size;
        for (int32_t i = 0; i < p->n4; i++) {
            const int chosen = ((const uint8_t *)operands[1])[at[2] + (ptrdiff_t)i * p->c4] != 0;
            const char *from = chosen ? (const char *)operands[2] + (at[0] + (ptrdiff_t)i * p->a4) * (ptrdiff_t)size
                                      : (const char *)operands[3] + (at[1] + (ptrdiff_t)i * p->b4) * (ptrdiff_t)size;
            memcpy(out + (size_t)i * size, from, size);
        }
    }
}
