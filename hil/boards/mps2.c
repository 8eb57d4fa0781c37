/* The boards MPS2 (AN386: Cortex-M4, AN500: Cortex-M7) and MPS3 (AN547: Cortex-M55), as QEMU has them. UART and watchdog are
 * those of the Cortex-M System Design Kit (ARM DDI 0479). */
#include "board.h"
#include "cortex_m.h"
#include "simflash.h"

typedef struct cmsdk_uart {
    volatile uint32_t data, state, control, interrupt, divider;
} cmsdk_uart;

typedef struct cmsdk_watchdog {
    volatile uint32_t load, value, control, clear, raw, masked, unused[762], lock;
} cmsdk_watchdog;

#define UART ((cmsdk_uart *)PORT_UART)
#define NVIC_ENABLE ((volatile uint32_t *)0xE000E100u)
enum { SENDING_FULL = 1, RECEIVED = 2, SEND_INTERRUPT = 1, RECEIVE_INTERRUPT = 2, UNLOCK = 0x1ACCE551, WATCH_SECONDS = 20 };

#ifdef PORT_FLASH
enum { FLASH_BYTES = 0x100000 };
static const edged_flash flash;

static bool erase(int which) {
    return simflash_erase(flash.slots[which], FLASH_BYTES);
}

static bool write(int which, uint32_t offset, const uint8_t *data, uint32_t size) {
    return simflash_write(flash.slots[which], offset, data, size);
}

static const edged_flash flash = {
    .slots = {(const uint8_t *)PORT_FLASH, (const uint8_t *)PORT_FLASH + FLASH_BYTES},
    .bytes = FLASH_BYTES,
    .erase = erase,
    .write = write,
};
#endif

const edged_board board = {
    .name = PORT_NAME,
    .target = PORT_TARGET,
    .clock_hz = PORT_CLOCK,
    .slot = (uint8_t *)PORT_SLOT,
    .slot_bytes = 0x100000,
    .arena = (uint8_t *)PORT_ARENA,
    .arena_bytes = 0x80000,
#ifdef PORT_FLASH
    .flash = &flash,
#endif
};

void port_receive(void) {
    UART->interrupt = RECEIVE_INTERRUPT;
    while (UART->state & RECEIVED) {
        edged_received((uint8_t)UART->data);
    }
}

void port_sent(void) {
    UART->interrupt = SEND_INTERRUPT;
    cortex_m_sent();
}

bool port_send(uint8_t byte) {
    if (UART->state & SENDING_FULL) {
        return false;
    }
    UART->data = byte;
    return true;
}

void port_sending(bool wanted) {
    (void)wanted; /* it comes once for each byte that has gone: always on */
}

void board_watch(void) {
#ifdef PORT_WATCHDOG
    cmsdk_watchdog *dog = (cmsdk_watchdog *)PORT_WATCHDOG;
    dog->load = PORT_WATCHDOG_CLOCK * WATCH_SECONDS; /* its end is the NMI, which resets, a second end resets by itself */
#endif
}

void board_start(void) {
    cortex_m_start(false); /* this watchdog comes as an NMI first */
#ifdef PORT_WATCHDOG
    cmsdk_watchdog *dog = (cmsdk_watchdog *)PORT_WATCHDOG;
    dog->lock = UNLOCK;
    board_watch();
    dog->control = 3; /* NMI, then reset */
#endif
    UART->divider = 217; /* 115200 at 25 MHz */
    UART->control = 1 | 2 | 4 | 8; /* send, receive, interrupts when a byte has gone and when one came */
    (void)UART->data; /* QEMU stays deaf for up to a second without this read */
    NVIC_ENABLE[PORT_RECEIVE_INTERRUPT / 32] = 1u << PORT_RECEIVE_INTERRUPT % 32;
    NVIC_ENABLE[PORT_SEND_INTERRUPT / 32] = 1u << PORT_SEND_INTERRUPT % 32;
}
