/* The kernel check program's frame: what a family's check_<family>.c builds on.
 *
 * A family fills a check_case (an op, its parameters, its operands) and calls check_run: every usable row of the op's list is run on the
 * same operands and compared with the op's last row, the scalar one; whole, then split in two calls in reverse order
 * with other scratch contents. Operands lie between guard words and end at a page that may not be touched (under ASan: at the end of a heap block),
 * at addresses that are not aligned beyond their element.
 */
#ifndef EDGED_CHECK_H
#define EDGED_CHECK_H

#include <stddef.h>
#include <stdint.h>

#include "abi.h"
#include "params.h"

enum { CHECK_OPERANDS = 24 };

typedef enum check_kind {
    CHECK_ABSENT,      /* NULL */
    CHECK_INPUT,       /* read only; compared afterwards: a kernel must not have written it */
    CHECK_PACKED,      /* read only, 64-byte aligned as constants are, filled by the case's pack() for each row */
    CHECK_EXACT,       /* output; every byte as the scalar row's */
    CHECK_FLOAT,       /* float output; within the case's tolerance of the scalar row's */
    CHECK_STATE,       /* in/out, exact: starts with the same contents for each run */
    CHECK_FLOAT_STATE  /* in/out floats, within tolerance */
} check_kind;

typedef struct check_operand {
    check_kind kind;
    size_t bytes;
    size_t element;    /* bytes of one element: what the address is aligned to, and no more */
    void *data;
} check_operand;

typedef struct check_ctx {
    uint32_t arch;     /* instruction sets that may be used: this CPU's, less EDGED_ARCH_MASK's */
    uint64_t random;
    int repeats;       /* 1; more in long runs: multiply the number of random shapes by it */
    int cases, runs, failures;
    uint32_t skipped;  /* rows left out, as bits of their arch masks */
} check_ctx;

typedef struct check_case {
    const char *op;
    const void *params;
    check_operand operands[CHECK_OPERANDS];
    uint32_t units;
    size_t scratch;
    float tolerance;   /* of CHECK_FLOAT: |a - b| <= tolerance * max(scale, |b|) */
    float scale;       /* 0 means 1 */
    const void *user;  /* for pack() and describe() */
    /* Fills the CHECK_PACKED operands' data for `row` (set operand.bytes and call check_alloc), and may set units, scratch and, through
     * its own copy, params. NULL where the family packs nothing. */
    void (*pack)(check_ctx *ctx, struct check_case *c, const edged_kernel_row *row);
    char text[160];    /* the shape, for messages */
} check_case;

/* Deterministic random numbers. */
uint32_t check_random(check_ctx *ctx);
int32_t check_range(check_ctx *ctx, int32_t low, int32_t high);    /* low..high, both included */
float check_real(check_ctx *ctx, float low, float high);
void check_fill_bytes(check_ctx *ctx, void *data, size_t bytes);   /* also s8 and u8 tensors */
void check_fill_range(check_ctx *ctx, int8_t *data, size_t count, int32_t low, int32_t high);
void check_fill_floats(check_ctx *ctx, float *data, size_t count, float low, float high);

/* Adds operand `index` with memory of `bytes` behind guards, contents 0; returns its address. */
void *check_operand_add(check_case *c, int index, check_kind kind, size_t bytes, size_t element);
/* Guarded memory for pack(): 64-byte aligned, freed by check_run after the row. */
void *check_alloc(check_case *c, int index, size_t bytes);

/* Runs all usable rows of c->op against the scalar row and frees the operands. 0 = all equal. */
int check_run(check_ctx *ctx, check_case *c);

/* The rows of one op in list order (the last is the scalar one); count by pointer. */
const edged_kernel_row *check_rows(int *count);

/* Where the program is just now, for the message of a fault. */
typedef struct check_place { const char *kernel; const char *text; } check_place;
extern check_place check_now;

#define FAMILY(name) int check_##name(check_ctx *ctx);
#include "families.inc"
#undef FAMILY

#endif
