/* An example of a port: STM32F446RE (Nucleo-64), USART2 on PA2 and PA3, which the ST-LINK carries as /dev/ttyACM0. Cortex-M4F at the
 * 16 MHz that it starts with. Addresses: RM0390. It compiles; it has not been run on the board. */
#include "board.h"
#include "cortex_m.h"

#include <stddef.h>

#define REGISTER(address) (*(volatile uint32_t *)(address))
#define RCC_AHB1ENR REGISTER(0x40023830u)
#define RCC_APB1ENR REGISTER(0x40023840u)
#define RCC_CSR REGISTER(0x40023874u)
#define GPIOA_MODER REGISTER(0x40020000u)
#define GPIOA_AFRL REGISTER(0x40020020u)
#define IWDG_KR REGISTER(0x40003000u)
#define IWDG_PR REGISTER(0x40003004u)
#define IWDG_RLR REGISTER(0x40003008u)
#define NVIC_ENABLE ((volatile uint32_t *)0xE000E100u)

typedef struct stm32_usart {
    volatile uint32_t state, data, divider, control1, control2, control3;
} stm32_usart;

#define USART2 ((stm32_usart *)0x40004400u)
enum { OVERRUN = 1 << 3, RECEIVED = 1 << 5, SENDING_EMPTY = 1 << 7, CLOCK = 16000000, BAUD = 115200 };
enum { FORGET_RESET = 1 << 24, WATCHDOG_RESET = 1 << 29 };

#define FLASH_KEYR REGISTER(0x40023C04u)
#define FLASH_SR REGISTER(0x40023C0Cu)
#define FLASH_CR REGISTER(0x40023C10u)
enum { SLOT_BYTES = 128 * 1024, FIRST_SECTOR = 6, BUSY = 1 << 16, FAULTS = 0xF2, PROGRAM = 1, ERASE_SECTOR = 2, START = 1 << 16 };
#define LOCK (1u << 31)

static uint8_t arena[96 * 1024] __attribute__((aligned(16)));
static const edged_flash flash;

/* One command of the flash, begun by START or by the byte that is written; the CPU stands still meanwhile, since it runs from flash itself. */
static bool command(uint32_t control, volatile uint8_t *at, uint8_t byte) {
    FLASH_KEYR = 0x45670123;
    FLASH_KEYR = 0xCDEF89AB;
    FLASH_SR = FAULTS;
    FLASH_CR = control;
    if (at == NULL) {
        FLASH_CR = control | START;
    } else {
        *at = byte;
    }
    while (FLASH_SR & BUSY) {
    }
    FLASH_CR = LOCK;
    return (FLASH_SR & FAULTS) == 0;
}

static bool erase(int which) {
    return command(ERASE_SECTOR | (uint32_t)(FIRST_SECTOR + which) << 3, NULL, 0);
}

/* Byte by byte: slow, and right at every supply voltage and for every size. */
static bool write(int which, uint32_t offset, const uint8_t *data, uint32_t size) {
    volatile uint8_t *to = (volatile uint8_t *)(uintptr_t)flash.slots[which] + offset;
    for (uint32_t i = 0; i < size; i++) {
        if (!command(PROGRAM, to + i, data[i]) || to[i] != data[i]) {
            return false;
        }
    }
    return true;
}

static const edged_flash flash = {
    .slots = {(const uint8_t *)0x08040000u, (const uint8_t *)0x08060000u}, /* sectors 6 and 7 */
    .bytes = SLOT_BYTES,
    .erase = erase,
    .write = write,
};

const edged_board board = {
    .name = "stm32f446",
    .target = "cortex-m4",
    .clock_hz = CLOCK,
    .arena = arena,
    .arena_bytes = sizeof arena,
    .flash = &flash,
};

/* An overrun interrupts until state and data were read, though no byte is there. */
void port_receive(void) {
    uint32_t state;
    while ((state = USART2->state) & (RECEIVED | OVERRUN)) {
        uint8_t byte = (uint8_t)USART2->data;
        if (state & RECEIVED) {
            edged_received(byte);
        }
    }
    if (USART2->control1 & USART2->state & SENDING_EMPTY) {
        cortex_m_sent();
    }
}

bool port_send(uint8_t byte) {
    if (!(USART2->state & SENDING_EMPTY)) {
        return false;
    }
    USART2->data = byte;
    return true;
}

void port_sending(bool wanted) {
    USART2->control1 = wanted ? USART2->control1 | SENDING_EMPTY : USART2->control1 & ~(uint32_t)SENDING_EMPTY;
}

void board_watch(void) {
    IWDG_KR = 0xAAAA;
}

void board_start(void) {
    bool watched = (RCC_CSR & WATCHDOG_RESET) != 0;
    RCC_CSR |= FORGET_RESET;
    cortex_m_start(watched);
    RCC_AHB1ENR |= 1u << 0;  /* GPIOA */
    RCC_APB1ENR |= 1u << 17; /* USART2 */
    GPIOA_MODER = (GPIOA_MODER & ~(0xFu << 4)) | 0xAu << 4;
    GPIOA_AFRL = (GPIOA_AFRL & ~(0xFFu << 8)) | 0x77u << 8;
    USART2->divider = (CLOCK + BAUD / 2) / BAUD;
    USART2->control1 = 1u << 13 | 1u << 5 | 1u << 3 | 1u << 2; /* on, receive interrupt, send, receive */
    NVIC_ENABLE[PORT_RECEIVE_INTERRUPT / 32] = 1u << PORT_RECEIVE_INTERRUPT % 32;
    IWDG_KR = 0xCCCC; /* on: its 32 kHz / 256, 4095 of them are 32 s */
    IWDG_KR = 0x5555;
    IWDG_PR = 6;
    IWDG_RLR = 0xFFF;
    board_watch();
}
