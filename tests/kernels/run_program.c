/* Runs a packed program from a file, without Python: for counting instructions of whole models on another machine.
 *
 *   run_program                     the kernels and params structs that were compiled in, one a line
 *   run_program FILE OUT [RUNS]     runs it, writes the outputs' bytes to OUT; the last run stands between two marker system calls
 *
 * FILE (u64, little-endian): number of sections, then per section its bytes and they themselves, padded to 64: steps, operands, params,
 * spaces, inputs in order, constants in order. Its layout is ext/packed.h; it is our own and not checked further. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ext/packed.h"
#include "ext/pair.h"
#include "ext/table.h"

enum { MARKER = 0x45d6, FIXED_SECTIONS = 4, ALIGN = 64 };

typedef struct section {
    uint64_t size;
    char *bytes;
} section;

static void list(void) {
    for (uint32_t i = 0; i < edged_kernel_count; i++) {
        const edged_kernel_row *k = &edged_kernels[i];
        printf("kernel %u %s %s %u %u %u\n", k->arch, k->op, k->name, k->mr, k->nr, k->kr);
    }
    for (uint32_t i = 0; i < edged_struct_count; i++) {
        printf("struct %s", edged_structs[i].name);
        for (const edged_field *f = edged_structs[i].fields; f->name != NULL; f++) {
            printf(" %s:%c", f->name, f->type);
        }
        printf("\n");
    }
    for (uint32_t i = 0; i < edged_op_count; i++) {
        printf("op %s %s\n", edged_ops[i].op, edged_ops[i].name);
    }
}

static void *room(uint64_t size) {
    void *made = aligned_alloc(ALIGN, (size + ALIGN) / ALIGN * ALIGN);
    if (made == NULL) {
        perror("memory");
        exit(2);
    }
    return memset(made, 0, (size + ALIGN) / ALIGN * ALIGN);
}

static section *load(const char *path) {
    FILE *file = fopen(path, "rb");
    uint64_t count, size;
    if (file == NULL || fread(&count, 8, 1, file) != 1) {
        perror(path);
        exit(2);
    }
    section *all = calloc(count + 1, sizeof *all);
    for (uint64_t i = 0; i < count; i++) {
        if (fread(&size, 8, 1, file) != 1) {
            exit(2);
        }
        all[i] = (section){size, room(size)};
        uint64_t padded = (size + ALIGN - 1) / ALIGN * ALIGN;
        if (fread(all[i].bytes, 1, padded, file) != padded) {
            exit(2);
        }
    }
    fclose(file);
    return all;
}

static void run_pair(const section *s, const edged_packed_step *step, void **pointers, void *scratch) {
    const edged_operand *operands = (const edged_operand *)s[1].bytes;
    edged_kernel *const functions[] = {edged_kernels[step[0].kernel].function, edged_kernels[step[1].kernel].function};
    edged_pair pair = edged_pair_of(step, functions, s[2].bytes, operands[step->operand].size);
    edged_task task = {0, edged_pair_units(step), scratch};
    edged_run_pair(&pair, (void *const *)pointers + step->operand, &task);
}

static void run(const section *s, void **pointers, void *scratch) {
    const edged_packed_step *steps = (const edged_packed_step *)s[0].bytes;
    for (uint64_t i = 0; i < s[0].size / sizeof *steps; i++) {
        if (steps[i].block > 0) {
            run_pair(s, &steps[i++], pointers, scratch);
            continue;
        }
        edged_task task = {0, steps[i].units, scratch};
        edged_kernels[steps[i].kernel].function(s[2].bytes + steps[i].params, (void *const *)pointers + steps[i].operand, &task);
    }
}

int main(int argc, char **argv) {
    if (argc < 3) {
        list();
        return 0;
    }
    section *s = load(argv[1]);
    const uint64_t *spaces = (const uint64_t *)s[3].bytes, inputs = spaces[3], outputs = spaces[4 + inputs];
    const uint64_t *output_sizes = spaces + 5 + inputs;
    char *bases[] = {NULL, room(spaces[0]), NULL, room(spaces[1])}, *scratch = room(spaces[2]);
    char **results = calloc(outputs + 1, sizeof *results);
    for (uint64_t i = 0; i < outputs; i++) {
        results[i] = room(output_sizes[i]);
    }
    const edged_operand *operands = (const edged_operand *)s[1].bytes;
    uint64_t count = s[1].size / sizeof *operands;
    void **pointers = calloc(count + 1, sizeof *pointers);
    for (uint64_t i = 0; i < count; i++) {
        const edged_operand *o = &operands[i];
        char *base = o->space == SPACE_CONSTANT ? s[FIXED_SECTIONS + inputs + o->index].bytes
                     : o->space == SPACE_INPUT  ? s[FIXED_SECTIONS + o->index].bytes
                     : o->space == SPACE_OUTPUT ? results[o->index]
                     : o->space == SPACE_BLOCK  ? NULL
                                                : bases[o->space];
        pointers[i] = base == NULL ? NULL : base + o->offset;
    }
    int runs = argc > 3 ? atoi(argv[3]) : 1;
    for (int i = 1; i < runs; i++) {
        run(s, pointers, scratch);
    }
    syscall(MARKER, 1);
    run(s, pointers, scratch);
    syscall(MARKER, 0);
    FILE *out = fopen(argv[2], "wb");
    for (uint64_t i = 0; out != NULL && i < outputs; i++) {
        fwrite(results[i], 1, output_sizes[i], out);
    }
    return out == NULL || fclose(out) != 0;
}
