/* An example of a port: STM32F446RE (Nucleo-64), USART2 on PA2 and PA3, which the ST-LINK carries as /dev/ttyACM0. Cortex-M4F at the
 * 16 MHz that it starts with. Addresses: RM0390. It compiles; it has not been run on the board. */
#include "board.h"
#include "cortex_m.h"

#define REGISTER(address) (*(volatile uint32_t *)(address))
#define RCC_AHB1ENR REGISTER(0x40023830u)
#define RCC_APB1ENR REGISTER(0x40023840u)
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
enum { RECEIVED = 1 << 5, SENDING_EMPTY = 1 << 7, CLOCK = 16000000, BAUD = 115200 };

static uint8_t slot[48 * 1024] __attribute__((aligned(64)));
static uint8_t arena[48 * 1024] __attribute__((aligned(16)));

const edged_board board = {
    .name = "stm32f446",
    .target = "cortex-m4",
    .clock_hz = CLOCK,
    .slot = slot,
    .slot_bytes = sizeof slot,
    .arena = arena,
    .arena_bytes = sizeof arena,
};

void port_receive(void) {
    while (USART2->state & RECEIVED) {
        edged_received((uint8_t)USART2->data);
    }
}

void board_put(uint8_t byte) {
    while (!(USART2->state & SENDING_EMPTY)) {
    }
    USART2->data = byte;
}

void board_watch(void) {
    IWDG_KR = 0xAAAA;
}

void board_start(void) {
    cortex_m_start();
    RCC_AHB1ENR |= 1u << 0;  /* GPIOA */
    RCC_APB1ENR |= 1u << 17; /* USART2 */
    GPIOA_MODER = (GPIOA_MODER & ~(0xFu << 4)) | 0xAu << 4;
    GPIOA_AFRL = (GPIOA_AFRL & ~(0xFFu << 8)) | 0x77u << 8;
    USART2->divider = CLOCK / BAUD;
    USART2->control1 = 1u << 13 | 1u << 5 | 1u << 3 | 1u << 2; /* on, receive interrupt, send, receive */
    NVIC_ENABLE[PORT_RECEIVE_INTERRUPT / 32] = 1u << PORT_RECEIVE_INTERRUPT % 32;
    IWDG_KR = 0xCCCC; /* on: its 32 kHz / 256, 4095 of them are 32 s */
    IWDG_KR = 0x5555;
    IWDG_PR = 6;
    IWDG_RLR = 0xFFF;
    board_watch();
}
