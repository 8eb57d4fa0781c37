/* The firmware's main loop on a host: bytes from stdin, answers to stdout, ends where stdin ends. Built with sanitizers, it shows
 * that no bytes make it read or write where it may not. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "board.h"

static uint8_t *slot, *arena;
edged_life board_life = {0, 7, 0, 0, 0, 0};
edged_board board = {"host", "generic", 1000, NULL, 4096, NULL, 4096, NULL};

void board_start(void) {
    slot = malloc(board.slot_bytes);
    arena = aligned_alloc(16, board.arena_bytes);
    if (slot == NULL || arena == NULL) {
        exit(3);
    }
    board.slot = slot;
    board.arena = arena;
}

void board_put(uint8_t byte) {
    putchar(byte);
}

void board_mask(_Bool masked) {
    (void)masked;
}

void board_sleep(void) {
    fflush(stdout);
    int byte = getchar();
    if (byte == EOF) {
        free(slot);
        free(arena);
        exit(0);
    }
    edged_received((uint8_t)byte);
}

uint32_t board_ticks(void) {
    static uint32_t ticks;
    return ticks++;
}

void board_watch(void) {
}

void board_flush_code(void) {
}

_Noreturn void board_reset(void) {
    exit(4);
}

int main(void) {
    setvbuf(stdin, NULL, _IONBF, 0);
    edged_serve();
}
