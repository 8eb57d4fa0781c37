/* The kernel check program: every row of every list against its op's scalar row. See check.h.
 *
 * check [FAMILY ...] [--seed N] [--repeats N]; EDGED_ARCH_MASK=N (bits of enum edged_arch) leaves only those instruction sets.
 */
#include "check.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cpu.h"

#if !defined(__SANITIZE_ADDRESS__)
/* A read or write past an operand ends here: say which kernel did it. */
static void on_fault(int number) {
    char text[320];
    const int n = snprintf(text, sizeof text, "\nFAIL %s: signal %d (touched memory outside its operands?) at %s\n",
                           check_now.kernel ? check_now.kernel : "?", number, check_now.text ? check_now.text : "?");
    if (n > 0 && write(2, text, (size_t)n) < 0) _exit(3);
    _exit(3);
}
#endif

typedef struct family { const char *name; int (*check)(check_ctx *ctx); } family;
#define FAMILY(name) {#name, check_##name},
static const family FAMILIES[] = {
#include "families.inc"
};
#undef FAMILY
enum { FAMILY_COUNT = sizeof FAMILIES / sizeof *FAMILIES };

static int wanted(int argc, char **argv, const char *name) {
    int named = 0;
    for (int i = 1; i < argc; i++) {
        if (argv[i][0] == '-') { i++; continue; }
        named = 1;
        if (!strcmp(argv[i], name)) return 1;
    }
    return !named;
}

static int check_one(const family *f, uint32_t arch, uint64_t seed, int repeats) {
    check_ctx ctx = {.arch = arch, .random = seed * 0x9E3779B97F4A7C15u + 1, .repeats = repeats};
    const int bad = f->check(&ctx);
    printf("%-12s %6d cases %7d runs  %s\n", f->name, ctx.cases, ctx.runs, bad || ctx.failures ? "FAIL" : "ok");
    for (uint32_t bit = 1; bit; bit <<= 1)
        if (ctx.skipped & bit) printf("%-12s skip rows for %s: not on this CPU or masked\n", f->name, cpu_arch_name(bit));
    return bad || ctx.failures;
}

int main(int argc, char **argv) {
    uint64_t seed = 1;
    int repeats = 1, failed = 0;
    for (int i = 1; i + 1 < argc; i++) {
        if (!strcmp(argv[i], "--seed")) seed = strtoull(argv[++i], NULL, 0);
        else if (!strcmp(argv[i], "--repeats")) repeats = atoi(argv[++i]);
    }
    uint32_t arch = cpu_arch();
    const char *mask = getenv("EDGED_ARCH_MASK");
    if (mask && *mask) arch &= (uint32_t)strtoul(mask, NULL, 0);
#if !defined(__SANITIZE_ADDRESS__)
    signal(SIGSEGV, on_fault);
    signal(SIGBUS, on_fault);
    signal(SIGILL, on_fault);
#endif
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("instruction sets:");
    for (uint32_t bit = 1; bit; bit <<= 1)
        if (arch & bit) printf(" %s", cpu_arch_name(bit));
    printf("\n");
    for (int i = 0; i < FAMILY_COUNT; i++)
        if (wanted(argc, argv, FAMILIES[i].name)) failed |= check_one(&FAMILIES[i], arch, seed, repeats);
    return failed;
}
