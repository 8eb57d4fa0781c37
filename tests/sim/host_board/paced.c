/* The firmware's main loop on a host, one step at a time: every record on stdin (32 bits little-endian: a count, then that many
 * bytes) is answered with one record of what the firmware sent until it slept again. The count RESET resets the board.
 *
 * Each life of the board is a process of its own, so a reset leaves nothing behind, and a sanitizer's report ends everything.
 * The first record out holds the programs' descriptors: what a slot is loaded with, as their code is linked in here. */
#define _GNU_SOURCE /* MAP_ANONYMOUS */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "board.h"
#include "program.h"

enum { SLOT = 4096, ARENA = 65536, OUT = 1 << 20, AGAIN = 40 };
#define RESET 0xFFFFFFFFu

extern const edged_program first_program, second_program;

static uint8_t *slot, *arena, *out;
static uint32_t left, out_size;
static uint32_t *kept; /* over a reset: how many bytes of `out` are taken */
edged_life board_life = {0, 1, 0, 0, 0, 0};
edged_board board = {"host", "generic", 1000, NULL, SLOT, NULL, ARENA, NULL};

static void all_out(const void *data, size_t size) {
    for (const uint8_t *at = data; size;) {
        ssize_t done = write(1, at, size);
        if (done <= 0) {
            _exit(5);
        }
        at += done;
        size -= (size_t)done;
    }
}

/* False where stdin ends. */
static int all_in(void *data, size_t size) {
    for (uint8_t *at = data; size;) {
        ssize_t done = read(0, at, size);
        if (done <= 0) {
            return 0;
        }
        at += done;
        size -= (size_t)done;
    }
    return 1;
}

void board_start(void) {
    slot = malloc(SLOT);
    arena = aligned_alloc(16, ARENA);
    if (slot == NULL || arena == NULL) {
        exit(3);
    }
    board.slot = slot;
    board.arena = arena;
    out_size = *kept;
}

void board_put(uint8_t byte) {
    if (out_size == OUT) {
        exit(6);
    }
    out[4 + out_size++] = byte;
}

void board_mask(_Bool masked) {
    (void)masked;
}

static void end(int status) {
    free(slot);
    free(arena);
    exit(status);
}

void board_sleep(void) {
    if (left == 0) {
        memcpy(out, &out_size, 4);
        all_out(out, 4 + out_size);
        out_size = *kept = 0;
        if (!all_in(&left, 4)) {
            end(0);
        }
        if (left == RESET) {
            end(AGAIN);
        }
    }
    uint8_t piece[4096];
    uint32_t count = left < sizeof piece ? left : sizeof piece;
    if (!all_in(piece, count)) {
        end(0);
    }
    left -= count;
    for (uint32_t i = 0; i < count; i++) {
        edged_received(piece[i]);
    }
}

uint32_t board_ticks(void) {
    static uint32_t ticks;
    return ticks++;
}

void board_watch(void) {
}

void board_flush_code(void) {
}

/* What the record still had for the board is lost with it; what it said before is not. */
_Noreturn void board_reset(void) {
    static uint8_t rest[4096];
    while (left) {
        uint32_t count = left < sizeof rest ? left : sizeof rest;
        if (!all_in(rest, count)) {
            break;
        }
        left -= count;
    }
    *kept = out_size;
    end(AGAIN);
    abort();
}

int main(void) {
    out = mmap(NULL, 4 + OUT, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    kept = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (out == MAP_FAILED || kept == MAP_FAILED) {
        return 3;
    }
    uint32_t size = 2 * sizeof(edged_program);
    all_out(&size, 4);
    all_out(&first_program, sizeof first_program);
    all_out(&second_program, sizeof second_program);
    for (;; board_life.boot++) {
        pid_t life = fork();
        if (life == 0) {
            edged_serve();
        }
        int status;
        if (life < 0 || waitpid(life, &status, 0) != life || !WIFEXITED(status)) {
            return 7;
        }
        if (WEXITSTATUS(status) != AGAIN) {
            return WEXITSTATUS(status);
        }
        board_life.cause = CAUSE_ASKED;
    }
}
