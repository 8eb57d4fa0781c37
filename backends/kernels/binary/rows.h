/* Walks the rows of a broadcast pair (binary/params.inc states the layout that every params struct begins with). */
#ifndef EDGED_BINARY_ROWS_H
#define EDGED_BINARY_ROWS_H

#include "../abi.h"
#include "../params.h"

/* The common beginning of the params structs of this family. */
typedef struct edged_rows {
    int32_t n[5], a[5], b[5], last;
} edged_rows;

/* A row being visited: its number, its length, and the element offsets of out, a and b. */
typedef struct edged_row {
    uint32_t unit, index[4];
    int32_t n;
    ptrdiff_t out, a, b;
} edged_row;

static inline int32_t edged_row_length(const edged_rows *r, uint32_t unit) {
    const uint32_t rows = (uint32_t)r->n[0] * (uint32_t)r->n[1] * (uint32_t)r->n[2] * (uint32_t)r->n[3];
    return unit + 1 == rows ? r->last : r->n[4];
}

static inline edged_row edged_row_at(const edged_rows *r, uint32_t unit) {
    edged_row row = {.unit = unit, .out = (ptrdiff_t)unit * r->n[4], .n = edged_row_length(r, unit)};
    uint32_t rest = unit;
    for (int d = 3; d >= 0; d--) {
        row.index[d] = rest % (uint32_t)r->n[d];
        rest /= (uint32_t)r->n[d];
        row.a += (ptrdiff_t)row.index[d] * r->a[d];
        row.b += (ptrdiff_t)row.index[d] * r->b[d];
    }
    return row;
}

static inline void edged_row_next(const edged_rows *r, edged_row *row) {
    row->unit++;
    row->out += r->n[4];
    row->n = edged_row_length(r, row->unit);
    for (int d = 3; d >= 0; d--) {
        row->a += r->a[d];
        row->b += r->b[d];
        if (++row->index[d] < (uint32_t)r->n[d]) {
            return;
        }
        row->a -= (ptrdiff_t)r->n[d] * r->a[d];
        row->b -= (ptrdiff_t)r->n[d] * r->b[d];
        row->index[d] = 0;
    }
}

#define EDGED_FOR_ROWS(layout, task, row)                                                                                       \
    for (edged_row row = edged_row_at(layout, (task)->begin); row.unit < (task)->end; edged_row_next(layout, &row))

/* A kernel whose rows are loops over EXPRESSION in x (from a) and y (from b). A run may be computed in place: out may be a or b
 * exactly, hence ivdep instead of restrict. */
#define EDGED_BINARY_LOOPS(function, params_type, T, U, EXPRESSION)                                                                   \
    static void function##_row(U *out, const T *a, const T *b, int32_t n, int32_t sa, int32_t sb, const params_type *p) {        \
        (void)p;                                                                                                                 \
        if (sa && sb) {                                                                                                          \
            _Pragma("GCC ivdep") for (int32_t i = 0; i < n; i++) {                                                               \
                const T x = a[i], y = b[i];                                                                                      \
                out[i] = (U)(EXPRESSION);                                                                                        \
            }                                                                                                                    \
        } else if (sa) {                                                                                                         \
            const T y = b[0];                                                                                                    \
            _Pragma("GCC ivdep") for (int32_t i = 0; i < n; i++) {                                                               \
                const T x = a[i];                                                                                                \
                out[i] = (U)(EXPRESSION);                                                                                        \
            }                                                                                                                    \
        } else {                                                                                                                 \
            const T x = a[0];                                                                                                    \
            _Pragma("GCC ivdep") for (int32_t i = 0; i < n; i++) {                                                               \
                const T y = b[i * sb];                                                                                           \
                out[i] = (U)(EXPRESSION);                                                                                        \
            }                                                                                                                    \
        }                                                                                                                        \
    }                                                                                                                            \
    void function(const void *params, void *const *operands, const edged_task *task) {                                           \
        const edged_rows *r = params;                                                                                            \
        EDGED_FOR_ROWS(r, task, row) {                                                                                           \
            function##_row((U *)operands[0] + row.out, (const T *)operands[1] + row.a, (const T *)operands[2] + row.b, row.n,    \
                           r->a[4], r->b[4], params);                                                                            \
        }                                                                                                                        \
    }

/* (one more expansion, for names that are macros themselves) */
#define EDGED_BINARY(function, params_type, T, U, EXPRESSION) EDGED_BINARY_LOOPS(function, params_type, T, U, EXPRESSION)

#endif
