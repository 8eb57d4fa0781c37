/* An example of a port: RP2040 (Raspberry Pi Pico), UART0 on GPIO 0 and 1, at the crystal's 12 MHz. Cortex-M0+. Addresses: RP2040
 * datasheet, 2.8, 2.13, 2.19, 4.2, 4.7. The image is loaded to RAM by a debug probe, so it needs no second-stage boot loader. It
 * compiles; it has not been run on the board. */
#include "board.h"
#include "cortex_m.h"

#define REGISTER(address) (*(volatile uint32_t *)(address))
#define RESETS_CLEAR REGISTER(0x4000F000u)
#define RESETS_DONE REGISTER(0x4000C008u)
#define XOSC_CTRL REGISTER(0x40024000u)
#define XOSC_STATUS REGISTER(0x40024004u)
#define CLK_REF_CTRL REGISTER(0x40008030u)
#define CLK_SYS_CTRL REGISTER(0x4000803Cu)
#define CLK_PERI_CTRL REGISTER(0x40008048u)
#define GPIO0_CTRL REGISTER(0x40014004u)
#define GPIO1_CTRL REGISTER(0x4001400Cu)
#define WATCHDOG_CTRL REGISTER(0x40058000u)
#define WATCHDOG_LOAD REGISTER(0x40058004u)
#define WATCHDOG_REASON REGISTER(0x40058008u)
#define WATCHDOG_SCRATCH ((volatile uint32_t *)0x4005800Cu)
#define WATCHDOG_TICK REGISTER(0x4005802Cu)
#define POWER_ON_WATCHDOG REGISTER(0x40010008u)
#define VTOR REGISTER(0xE000ED08u)
#define NVIC_ENABLE ((volatile uint32_t *)0xE000E100u)

typedef struct pl011 {
    volatile uint32_t data, unused1[5], flags, unused2[2], whole, fraction, line, control, levels, mask, raw, pending, clear;
} pl011;

#define UART ((pl011 *)0x40034000u)
enum { RECEIVE_EMPTY = 1 << 4, SEND_FULL = 1 << 5, PARTS = 1 << 5 | 1 << 8 | 1 << 22, CLOCK = 12000000, WATCH = 0xFFFFFF };

static uint8_t slot[96 * 1024] __attribute__((aligned(64)));
static uint8_t arena[64 * 1024] __attribute__((aligned(16)));

const edged_board board = {
    .name = "rp2040",
    .target = "cortex-m0plus",
    .clock_hz = CLOCK,
    .slot = slot,
    .slot_bytes = sizeof slot,
    .arena = arena,
    .arena_bytes = sizeof arena,
};

void port_receive(void) {
    while (!(UART->flags & RECEIVE_EMPTY)) {
        edged_received((uint8_t)UART->data);
    }
    UART->clear = 1u << 4 | 1u << 6;
    if (UART->pending & 1u << 5) {
        UART->clear = 1u << 5;
        cortex_m_sent();
    }
}

bool port_send(uint8_t byte) {
    if (UART->flags & SEND_FULL) {
        return false;
    }
    UART->data = byte;
    return true;
}

void port_sending(bool wanted) {
    UART->mask = wanted ? UART->mask | 1u << 5 : UART->mask & ~(1u << 5);
}

void board_watch(void) {
    WATCHDOG_LOAD = WATCH; /* counts down by two a microsecond: 8.4 s */
}

/* After a reset the boot ROM looks here before it looks for flash: magic, the entry masked, stack, entry (2.8.1.1). It clears the
 * magic, so every life sets it again. */
static void come_back(void) {
    const uint32_t *vectors = (const uint32_t *)VTOR;
    WATCHDOG_SCRATCH[5] = vectors[1] ^ 0x4FF83F2Du;
    WATCHDOG_SCRATCH[6] = vectors[0];
    WATCHDOG_SCRATCH[7] = vectors[1];
    WATCHDOG_SCRATCH[4] = 0xB007C0D3u;
}

void board_start(void) {
    cortex_m_start((WATCHDOG_REASON & 3) != 0);
    come_back();
    XOSC_CTRL = 0xFABAA0; /* on, 1 to 15 MHz */
    while (!(XOSC_STATUS & 1u << 31)) {
    }
    CLK_REF_CTRL = 2; /* the crystal */
    CLK_SYS_CTRL = 0; /* what clk_ref has */
    CLK_PERI_CTRL = 1u << 11 | 4u << 5;
    RESETS_CLEAR = PARTS; /* IO bank, pads, UART0 */
    while ((RESETS_DONE & PARTS) != PARTS) {
    }
    GPIO0_CTRL = GPIO1_CTRL = 2;
    UART->whole = 6; /* 12 MHz / (16 * 115200) = 6.51 */
    UART->fraction = 33;
    UART->line = 3u << 5 | 1u << 4; /* eight bits, FIFOs */
    UART->mask = 1u << 4 | 1u << 6; /* received, and received a while ago */
    UART->control = 1u | 1u << 8 | 1u << 9;
    NVIC_ENABLE[0] = 1u << PORT_RECEIVE_INTERRUPT;
    POWER_ON_WATCHDOG = 0x1FFFCu; /* it resets all but the oscillators */
    WATCHDOG_TICK = 12u | 1u << 9;
    board_watch();
    WATCHDOG_CTRL = 1u << 30;
}
