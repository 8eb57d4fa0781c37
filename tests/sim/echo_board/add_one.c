/* A program for a slot, written by hand: 300 bytes in, each one more out. A first byte of 252 to 254
 * makes it run for ever, crash, or fail. */
#include "program.h"

enum { COUNT = 300 };

static const uint32_t sizes[2] = {COUNT, COUNT};

static void init(void *state) {
    (void)state;
}

static void *tensor(void *arena, int which) {
    uint8_t *bytes = arena;
    return which == 0 ? bytes : which == -1 ? bytes + COUNT : 0;
}

static int run(void *arena, void *state) {
    uint8_t *bytes = arena;
    (void)state;
    if (bytes[0] == 254) {
        return -7;
    }
    if (bytes[0] == 253) {
        *(volatile uint32_t *)0xFFFFFF00u = 1; /* no such memory: a fault */
    }
    while (bytes[0] == 252) {
        __asm volatile("nop");
    }
    for (int i = 0; i < COUNT; i++) {
        bytes[COUNT + i] = (uint8_t)(bytes[i] + 1);
    }
    return 0;
}

static int run_tapped(void *arena, void *state, void (*tap)(uint32_t step)) {
    int status = run(arena, state);
    tap(0);
    return status;
}

__attribute__((section(".edged_program"), used)) const edged_program edged_program_descriptor = {
    EDGED_PROGRAM_MAGIC, 1, 1, sizes, 2 * COUNT + 8, 0, init, tensor, run, 1, run_tapped, {1, 2, 3}, "", 0};
