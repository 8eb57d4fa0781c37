/* A firmware for mps2-an386 that echoes what its UART receives: what the rigs themselves are tested with. */
#include <stdint.h>

struct uart {
    volatile uint32_t data, state, control, interrupt, divider;
};
#define UART ((struct uart *)0x40004000u)
#define NVIC_ENABLE (*(volatile uint32_t *)0xE000E100u)

static void put(uint8_t byte)
{
    while (UART->state & 1u) {
    }
    UART->data = byte;
}

void received(void)
{
    UART->interrupt = 2u;
    while (UART->state & 2u) {
        put((uint8_t)UART->data);
    }
}

void reset(void)
{
    UART->divider = 16u;
    UART->control = 1u | 2u | 8u; /* transmit, receive, receive interrupt */
    (void)UART->data;             /* QEMU stays deaf for up to a second without this read */
    NVIC_ENABLE = 1u;
    put('!');
    for (;;) {
        __asm volatile("wfi");
    }
}

__attribute__((section(".vectors"), used)) static const uintptr_t vectors[17] = {
    [0] = 0x20010000u, [1] = (uintptr_t)reset, [16] = (uintptr_t)received};
