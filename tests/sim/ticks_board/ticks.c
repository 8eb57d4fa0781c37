/* In place of the firmware: reads the tick counter over several wraps of its 24 bits, a part of them with interrupts masked as
 * in a port's critical sections, and says how often it went back or leapt ("0!" when never). */
#include "board.h"

enum { PERIOD = 1 << 24, WRAPS = 3, LEAP = 1 << 20, NEAR = 2000 };

void edged_received(uint8_t byte) {
    (void)byte;
}

static void say(uint32_t count) {
    for (uint32_t unit = 1000000000u; unit; unit /= 10) {
        if (unit == 1 || count >= unit) {
            board_put((uint8_t)('0' + count / unit % 10));
        }
    }
    board_put('!');
}

_Noreturn void edged_serve(void) {
    board_start();
    uint32_t begin = board_ticks(), before = begin, wrong = 0;
    while (before - begin < WRAPS * PERIOD) {
        uint32_t now = board_ticks(), until = PERIOD - now % PERIOD;
        wrong += now - before > LEAP;
        before = now;
        if (until < NEAR && now / PERIOD % 2) { /* every other wrap happens while interrupts are masked */
            board_mask(true);
            while (before - now < 2 * NEAR && before - now < LEAP) {
                uint32_t next = board_ticks();
                wrong += next - before > LEAP;
                before = next;
            }
            board_mask(false);
        }
        board_watch();
    }
    say(wrong);
    for (;;) {
        board_sleep();
    }
}
