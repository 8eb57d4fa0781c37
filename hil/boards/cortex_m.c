/* What every Cortex-M port shares: vectors, start-up, SysTick as the tick counter, faults that are kept over the reset they
 * lead to. Register addresses: ARMv7-M Architecture Reference Manual, B3.2 and B3.3. */
#include <stddef.h>
#include <string.h>

#include "board.h"
#include "cortex_m.h"

#define REGISTER(address) (*(volatile uint32_t *)(address))
#define CPACR REGISTER(0xE000ED88u)
#define ICSR REGISTER(0xE000ED04u)
#define VTOR REGISTER(0xE000ED08u)
#define AIRCR REGISTER(0xE000ED0Cu)
#define CFSR REGISTER(0xE000ED28u)
#define SYSTICK_CONTROL REGISTER(0xE000E010u)
#define SYSTICK_RELOAD REGISTER(0xE000E014u)
#define SYSTICK_VALUE REGISTER(0xE000E018u)

enum { MARK = 0x45644C66, SYSTICK_MOST = 0xFFFFFF, SYSTICK_PENDING = 1 << 26, OUTBOX = 1024, DRAINS_A_SECOND = 25 };

extern uint32_t __data_from[], __data_begin[], __data_end[], __bss_begin[], __bss_end[], __stack_top[];

__attribute__((section(".noinit"))) edged_life board_life;
__attribute__((section(".noinit"))) static uint32_t next_cause;
static volatile uint32_t wraps;
static volatile uint8_t outbox[OUTBOX];
static volatile uint32_t out_in, out_out;

void cortex_m_start(bool watched) {
    if (board_life.mark != MARK) {
        memset(&board_life, 0, sizeof board_life);
        board_life.mark = MARK;
        board_life.cause = CAUSE_POWER;
    } else {
        board_life.cause = next_cause ? next_cause : watched ? CAUSE_WATCHDOG : CAUSE_PIN;
    }
    if (next_cause != CAUSE_FAULT && next_cause != CAUSE_WATCHDOG) { /* nobody was there to note them */
        board_life.pc = board_life.lr = board_life.reason = 0;
    }
    next_cause = 0;
    board_life.boot += board_life.boot == UINT32_MAX ? 2 : 1; /* 0 would stand for any */
    SYSTICK_RELOAD = SYSTICK_MOST;
    SYSTICK_VALUE = 0;
    SYSTICK_CONTROL = 7; /* on, interrupt, processor clock */
}

/* The counter goes down to 0, where a period ends. Its interrupt may come late (it is masked, or another one is served): it
 * pends then, and counts when the counter was read behind the end. */
uint32_t board_ticks(void) {
    uint32_t before, passed;
    bool late;
    do {
        before = wraps;
        passed = (0u - SYSTICK_VALUE) & SYSTICK_MOST;
        late = (ICSR & SYSTICK_PENDING) != 0 && passed < SYSTICK_MOST / 2;
    } while (before != wraps);
    return ((before + late) << 24) + passed;
}

void board_mask(_Bool masked) {
    if (masked) {
        __asm volatile("cpsid i" ::: "memory");
    } else {
        __asm volatile("cpsie i" ::: "memory");
    }
}

void board_sleep(void) {
    __asm volatile("dsb\n wfi" ::: "memory");
}

/* Bytes wait in a ring for the send interrupt; the CPU sleeps when it is full. */
void board_put(uint8_t byte) {
    for (;;) {
        uint32_t next = (out_in + 1) % OUTBOX;
        board_mask(true);
        bool first = out_in == out_out && port_send(byte);
        if (!first && next != out_out) {
            outbox[out_in] = byte;
            out_in = next;
            port_sending(true);
            first = true;
        } else if (!first) {
            board_sleep(); /* an interrupt ends it, though it is masked */
        }
        board_mask(false);
        if (first) {
            return;
        }
    }
}

void cortex_m_sent(void) {
    while (out_out != out_in && port_send(outbox[out_out])) {
        out_out = (out_out + 1) % OUTBOX;
    }
    if (out_out == out_in) {
        port_sending(false);
    }
}

void board_flush_code(void) {
    __asm volatile("dsb\n isb" ::: "memory");
}

_Noreturn static void restart(uint32_t cause) {
    next_cause = cause;
    __asm volatile("dsb" ::: "memory");
    AIRCR = 0x05FA0004u;
    for (;;) {
    }
}

_Noreturn void board_reset(void) {
    while (out_in != out_out) { /* the answer to who asked */
    }
    uint32_t begin = board_ticks();
    while (board_ticks() - begin < board.clock_hz / DRAINS_A_SECOND) { /* what the UART still holds */
    }
    restart(CAUSE_ASKED);
}

/* `frame` is what the exception pushed: r0-r3, r12, lr, pc, xpsr. */
__attribute__((used)) static void died(const uint32_t *frame, uint32_t cause) {
    board_life.pc = frame[6];
    board_life.lr = frame[5];
#if __ARM_ARCH >= 7
    board_life.reason = CFSR; /* v6-M has no such register */
#endif
    restart(cause);
}

__attribute__((naked)) static void fault(void) {
    __asm volatile("mrs r0, msp\n movs r1, #3\n bl died");
}

__attribute__((naked)) static void watchdog(void) {
    __asm volatile("mrs r0, msp\n movs r1, #2\n bl died");
}

static void tick(void) {
    wraps++;
}

static const uintptr_t vectors[16 + PORT_INTERRUPTS];

static void start(void) {
#if __ARM_FP || __ARM_FEATURE_MVE
    CPACR |= 0xFu << 20; /* floats, and Helium */
    __asm volatile("dsb\n isb" ::: "memory");
#endif
    VTOR = (uintptr_t)vectors; /* of an image in RAM, nobody else has set it */
    memcpy(__data_begin, __data_from, (size_t)((char *)__data_end - (char *)__data_begin));
    memset(__bss_begin, 0, (size_t)((char *)__bss_end - (char *)__bss_begin));
    edged_serve();
}

__attribute__((section(".vectors"), used)) static const uintptr_t vectors[16 + PORT_INTERRUPTS] = {
    [0] = (uintptr_t)__stack_top, [1] = (uintptr_t)start, [2] = (uintptr_t)watchdog, [3] = (uintptr_t)fault,
    [4] = (uintptr_t)fault,       [5] = (uintptr_t)fault, [6] = (uintptr_t)fault,    [15] = (uintptr_t)tick,
    [16 + PORT_RECEIVE_INTERRUPT] = (uintptr_t)port_receive,
#ifdef PORT_SEND_INTERRUPT
    [16 + PORT_SEND_INTERRUPT] = (uintptr_t)port_sent,
#endif
};
