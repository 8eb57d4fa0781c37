/* The least start-up of the check program on a Cortex-M of QEMU: semihosting prints and ends it. A fault ends it with 99. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"

extern uint32_t __stack, __bss_start__, __bss_end__, __data_start__, __data_end__, __data_load__;
extern void initialise_monitor_handles(void);
int main(int argc, char **argv);

void reset(void) {
    *(volatile uint32_t *)0xE000ED88 |= 0xFu << 20; /* CPACR: the FPU, and on an M55 Helium */
    __asm__ volatile("dsb\n isb");
    memcpy(&__data_start__, &__data_load__, (size_t)((char *)&__data_end__ - (char *)&__data_start__));
    memset(&__bss_start__, 0, (size_t)((char *)&__bss_end__ - (char *)&__bss_start__));
    initialise_monitor_handles();
    exit(main(0, NULL));
}

static void say(const char *text) {
    if (write(2, text, strlen(text)) < 0) _exit(98);
}

static void fault(void) {
    say("\nFAIL ");
    say(check_now.kernel ? check_now.kernel : "?");
    say(": fault at ");
    say(check_now.text ? check_now.text : "?");
    say("\n");
    _exit(99);
}

__attribute__((section(".vectors"), used)) static void *const vectors[16] = {
    &__stack, (void *)reset, (void *)fault, (void *)fault, (void *)fault, (void *)fault, (void *)fault,
};
