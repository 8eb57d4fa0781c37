/* What a board port provides: one file, these functions and facts. */
#ifndef EDGED_BOARD_H
#define EDGED_BOARD_H

#include <stdbool.h>
#include <stdint.h>

/* Flash that keeps a program over a reset: two slots that a program runs from where it stands. Reading an erased byte gives
 * 0xFF, and only erased bytes are written. */
typedef struct edged_flash {
    const uint8_t *slots[2]; /* 64-byte aligned */
    uint32_t bytes;          /* of each */
    bool (*erase)(int which);
    bool (*write)(int which, uint32_t offset, const uint8_t *data, uint32_t size);
} edged_flash;

typedef struct edged_board {
    char name[16], target[16]; /* "mps2-an386", "cortex-m4" */
    uint32_t clock_hz;         /* of board_ticks */
    uint8_t *slot;             /* where a program is loaded to: writable, executable; not used where there is flash */
    uint32_t slot_bytes;
    uint8_t *arena; /* 16-byte aligned */
    uint32_t arena_bytes;
    const edged_flash *flash; /* NULL: none, and a program has to be loaded again after a reset */
} edged_board;

/* Why the last reset came, and where the program was when it was a fault. Kept over a reset (.noinit). */
typedef struct edged_life {
    uint32_t mark, boot, cause, pc, lr, reason;
} edged_life;

enum { CAUSE_POWER = 0, CAUSE_ASKED = 1, CAUSE_WATCHDOG = 2, CAUSE_FAULT = 3, CAUSE_PIN = 4 };

/* The facts: a port defines them, and nobody changes them after board_start. */
#ifndef EDGED_BOARD_QUALIFIER
#define EDGED_BOARD_QUALIFIER const
#endif
extern EDGED_BOARD_QUALIFIER edged_board board;
extern edged_life board_life;

void board_start(void);          /* clocks, the UART with its receive interrupt, the tick counter, the watchdog */
void board_put(uint8_t byte);    /* sends, waiting while the UART is busy */
void board_mask(_Bool masked);   /* holds interrupts back, or lets them in */
void board_sleep(void);          /* until an interrupt is pending, though it is masked; may return at once */
uint32_t board_ticks(void);      /* counts up, wraps */
void board_watch(void);          /* the main loop is alive: feeds the watchdog */
void board_flush_code(void);     /* after a program was written: caches, barriers */
_Noreturn void board_reset(void);

/* The port's receive interrupt hands every byte to this. */
void edged_received(uint8_t byte);

/* The port calls this after board-level start-up (stack, .data, .bss); it never returns. */
_Noreturn void edged_serve(void);

#endif
