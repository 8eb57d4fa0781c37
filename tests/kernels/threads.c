/* The thread pool under ThreadSanitizer: several callers want one pool at once, in generations of few and of many parts, with pauses in
 * which its workers fall asleep. The pool's source is included whole; what it needs of Python is never called here, and not linked. */
#include "pool.c"

#include <stdio.h>
#include <string.h>

enum { CALLERS = 3, POOLS = 3, RUNS = 300, STEPS = 3, MOST = 2048, STRIDE = 64, THREADS = 4 };

static edged_pool *shared;

/* Adds 1 + i to element i, and counts in the thread's own scratch. */
static void add(const void *params, void *const *operands, const edged_task *task) {
    (void)params;
    uint32_t *out = operands[0], *scratch = task->scratch;
    for (uint32_t i = task->begin; i < task->end; i++) {
        out[i] += 1 + i;
    }
    scratch[0] += task->end - task->begin;
}

static edged_pool *make_pool(void) {
    edged_pool *made = aligned_alloc(LINE, (sizeof *made + LINE - 1) / LINE * LINE);
    *made = (edged_pool){.threads = THREADS, .forks = atomic_load(&forks), .taken = ATOMIC_FLAG_INIT};
    if (start_workers(made) < 0) {
        abort();
    }
    return made;
}

static void run_once(uint32_t units, uint32_t *out, char *scratch) {
    void *operands[] = {out};
    edged_step step = {add, NULL, 0, units, 1};
    int taken = edged_pool_take(shared);
    for (int i = 0; i < STEPS; i++) {
        if (taken) {
            edged_job job = {&step, operands, scratch, STRIDE, units < 2 * THREADS ? units : 2 * THREADS};
            edged_pool_run(shared, &job);
        } else {
            edged_task task = {0, units, scratch};
            add(NULL, operands, &task);
        }
    }
    if (taken) {
        edged_pool_give_back(shared);
    }
}

static void *call(void *argument) {
    static uint32_t outs[CALLERS][MOST];
    static _Alignas(LINE) char scratches[CALLERS][STRIDE * THREADS];
    uint32_t which = (uint32_t)(uintptr_t)argument, units = 5 + which * 501;
    uint32_t *out = outs[which];
    for (int run = 0; run < RUNS; run++) {
        memset(out, 0, units * sizeof *out);
        run_once(units, out, scratches[which]);
        for (uint32_t i = 0; i < units; i++) {
            if (out[i] != STEPS * (1 + i)) {
                fprintf(stderr, "caller %u, run %d: element %u is %u\n", which, run, i, out[i]);
                exit(1);
            }
        }
        if (run % 50 == 49) {
            usleep(2 * SPIN_NS / 1000);
        }
    }
    return NULL;
}

int main(void) {
    for (int i = 0; i < POOLS; i++) {
        pthread_t callers[CALLERS];
        shared = make_pool();
        for (uintptr_t c = 0; c < CALLERS; c++) {
            pthread_create(&callers[c], NULL, call, (void *)c);
        }
        for (int c = 0; c < CALLERS; c++) {
            pthread_join(callers[c], NULL);
        }
        stop_workers(shared);
        free(shared);
    }
    puts("ok");
    return 0;
}
