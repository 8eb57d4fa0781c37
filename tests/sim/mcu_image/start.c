/* The least start-up for a Cortex-M in QEMU, and a main that runs a generated model over semihosting: reads in.bin (inputs of one run after
 * another), writes out.bin. The stack is painted beforehand; how much of it was used is written to stack.bin. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include MODEL_HEADER

extern uint32_t __stack, __stack_limit, __bss_start__, __bss_end__, __data_start__, __data_end__, __data_load__;
extern void initialise_monitor_handles(void);
int main(void);

static uint8_t arena[MODEL(ARENA_BYTES)] __attribute__((aligned(16)));
static uint8_t state[MODEL(STATE_BYTES) + 1] __attribute__((aligned(16)));

void reset(void) {
    *(volatile uint32_t *)0xE000ED88 |= 0xFu << 20; /* CPACR: the FPU, and on an M55 Helium */
    __asm__ volatile("dsb\n isb");
    memcpy(&__data_start__, &__data_load__, (size_t)((char *)&__data_end__ - (char *)&__data_start__));
    memset(&__bss_start__, 0, (size_t)((char *)&__bss_end__ - (char *)&__bss_start__));
    initialise_monitor_handles();
    exit(main());
}

static void fault(void) { exit(99); }

typedef union vector {
    void *stack;
    void (*call)(void);
} vector;

__attribute__((section(".vectors"), used)) static const vector vectors[16] = {
    {&__stack}, {.call = reset}, {.call = fault}, {.call = fault}, {.call = fault}, {.call = fault}, {.call = fault},
};

/* Between these two symbols nothing but the run happens: instructions are counted from one to the other. */
__attribute__((noinline)) void count_begin(void) { __asm__ volatile(""); }
__attribute__((noinline)) void count_end(void) { __asm__ volatile(""); }

static uint32_t paint(void) {
    uint32_t *limit = &__stack_limit, *here = (uint32_t *)__builtin_frame_address(0) - 64;
    for (uint32_t *p = limit; p < here; p++) *p = 0xA5A5A5A5u;
    return (uint32_t)((char *)here - (char *)limit);
}

static uint32_t used(uint32_t painted) {
    uint32_t *p = &__stack_limit, free = 0;
    while (free < painted && *p == 0xA5A5A5A5u) p++, free += 4;
    return painted - free;
}

int main(void) {
    static const size_t in_bytes[] = {INPUT_BYTES}, out_bytes[] = {OUTPUT_BYTES};
    const int inputs = sizeof in_bytes / sizeof *in_bytes, outputs = sizeof out_bytes / sizeof *out_bytes;
    FILE *in = fopen("in.bin", "rb"), *out = fopen("out.bin", "wb");
    uint32_t deepest = 0;
    if (in == NULL || out == NULL) return 3;
    CALL(init)(state);
    for (;;) {
        for (int i = 0; i < inputs; i++) {
            if (fread(CALL(tensor)(arena, i), 1, in_bytes[i], in) != in_bytes[i]) goto end;
        }
        const uint32_t painted = paint();
        count_begin();
        if (CALL(run)(arena, state) != 0) return 4;
        count_end();
        const uint32_t now = used(painted);
        deepest = now > deepest ? now : deepest;
        for (int i = 0; i < outputs; i++) fwrite(CALL(tensor)(arena, -1 - i), 1, out_bytes[i], out);
    }
end:
    fclose(out);
    out = fopen("stack.bin", "wb");
    fprintf(out, "%lu", (unsigned long)deepest);
    fclose(out);
    return 0;
}
