/* The thread pool: persistent workers that spin briefly after a job and then sleep in a futex.
 *
 * One run has the pool at a time (edged_pool_take); a second, concurrent run does its steps on its own thread. A job is cut into parts;
 * each thread has a slice of them of its own, the same in every step, so that what a thread wrote in one step it reads from its own cache
 * in the next. Who is done with his slice helps with the others'. A slice is one word, `ticket`: the job's generation, its last part and
 * the next part that nobody has taken. Whoever adds one takes a part, and may read the job's other fields only while it holds one; the
 * caller waits for the parts that were taken, so it never waits for a worker that is still being woken. */
#include "ext.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { LINE = 64, SPIN_NS = 60000, SPINS_PER_LOOK = 32, PART_BITS = 20, MOST_PARTS = 4096 };

/* ticket: generation << 40 | end << 20 | next */
static inline uint32_t next_of(uint64_t ticket) {
    return (uint32_t)ticket & ((1u << PART_BITS) - 1);
}

static inline uint32_t end_of(uint64_t ticket) {
    return (uint32_t)(ticket >> PART_BITS) & ((1u << PART_BITS) - 1);
}

static inline uint32_t generation_of(uint64_t ticket) {
    return (uint32_t)(ticket >> (2 * PART_BITS));
}

typedef struct worker {
    edged_pool *pool;
    pthread_t thread;
    uint32_t index;
} worker;

typedef struct slice {
    _Alignas(LINE) _Atomic uint64_t ticket;
} slice;

struct edged_pool {
    edged_job job;
    worker *workers;
    slice *slices;
    uint32_t threads, started, forks;
    _Alignas(LINE) _Atomic uint32_t done; /* parts that workers have finished; a futex while the caller is `waiting` */
    _Atomic uint32_t waiting;
    _Alignas(LINE) _Atomic uint32_t sleepers;
    _Atomic uint32_t wakes; /* the futex */
    _Atomic uint32_t stop;
    atomic_flag taken;
};

PyTypeObject *edged_pool_type;
static _Atomic uint32_t forks; /* a forked child has no workers: its pools must not wait for them */

static void count_fork(void) {
    atomic_fetch_add(&forks, 1);
}

static inline void relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Does part `part` of the job, on thread `thread`. */
static void work(const edged_job *job, uint32_t part, uint32_t thread) {
    const edged_step *step = job->step;
    uint32_t begin = (uint32_t)((uint64_t)step->units * part / job->parts);
    uint32_t end = (uint32_t)((uint64_t)step->units * (part + 1) / job->parts);
    edged_task task = {begin, end, job->scratch + thread * job->stride};
    step->function(step->params, job->operands, &task);
}

/* Takes parts of one slice until there are none; how many it did. */
static uint32_t work_off(edged_pool *pool, uint32_t owner, uint32_t thread) {
    for (uint32_t count = 0;; count++) {
        uint64_t ticket = atomic_fetch_add(&pool->slices[owner].ticket, 1);
        if (next_of(ticket) >= end_of(ticket)) {
            return count;
        }
        work(&pool->job, next_of(ticket), thread);
        if (thread > 0) {
            atomic_fetch_add(&pool->done, 1);
            if (atomic_load(&pool->waiting)) {
                syscall(SYS_futex, &pool->done, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
            }
        }
    }
}

/* The own slice first, then the others'. */
static uint32_t work_all(edged_pool *pool, uint32_t thread) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < pool->threads; i++) {
        count += work_off(pool, (thread + i) % pool->threads, thread);
    }
    return count;
}

static uint32_t generation(edged_pool *pool, uint32_t thread) {
    return generation_of(atomic_load_explicit(&pool->slices[thread].ticket, memory_order_relaxed));
}

static void sleep_while(edged_pool *pool, uint32_t thread, uint32_t seen) {
    atomic_fetch_add(&pool->sleepers, 1);
    uint32_t wakes = atomic_load(&pool->wakes);
    if (generation_of(atomic_load(&pool->slices[thread].ticket)) == seen && !atomic_load(&pool->stop)) {
        syscall(SYS_futex, &pool->wakes, FUTEX_WAIT_PRIVATE, wakes, NULL, NULL, 0);
    }
    atomic_fetch_sub(&pool->sleepers, 1);
}

/* Waits until the generation is no longer `seen`: spins, then sleeps. */
static uint32_t next_generation(edged_pool *pool, uint32_t thread, uint32_t seen) {
    uint64_t until = now_ns() + SPIN_NS;
    while (!atomic_load_explicit(&pool->stop, memory_order_relaxed)) {
        for (int i = 0; i < SPINS_PER_LOOK; i++) {
            uint32_t now = generation(pool, thread);
            if (now != seen) {
                return now;
            }
            relax();
        }
        if (now_ns() >= until) {
            sleep_while(pool, thread, seen);
            until = now_ns() + SPIN_NS;
        }
    }
    return seen;
}

static void *serve(void *argument) {
    worker *self = argument;
    uint32_t seen = 0;
    while (!atomic_load(&self->pool->stop)) {
        seen = next_generation(self->pool, self->index, seen);
        work_all(self->pool, self->index);
    }
    return NULL;
}

static void wake(edged_pool *pool) {
    if (atomic_load(&pool->sleepers) > 0) {
        atomic_fetch_add(&pool->wakes, 1);
        syscall(SYS_futex, &pool->wakes, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
    }
}

int edged_pool_take(edged_pool *pool) {
    if (pool->threads == 1 || pool->forks != atomic_load(&forks) || atomic_flag_test_and_set(&pool->taken)) {
        return 0;
    }
    wake(pool);
    return 1;
}

void edged_pool_give_back(edged_pool *pool) {
    atomic_flag_clear(&pool->taken);
}

/* Until `count` parts are done by workers. After a while it sleeps: a worker that lost its core to another process gets ours. */
static void await_others(edged_pool *pool, uint32_t count) {
    uint64_t until = 0;
    for (;;) {
        for (int i = 0; i < SPINS_PER_LOOK; i++) {
            if (atomic_load_explicit(&pool->done, memory_order_acquire) == count) {
                return;
            }
            relax();
        }
        uint64_t now = now_ns();
        until = until ? until : now + SPIN_NS;
        if (now >= until) {
            atomic_store(&pool->waiting, 1);
            uint32_t done = atomic_load(&pool->done);
            if (done != count) {
                syscall(SYS_futex, &pool->done, FUTEX_WAIT_PRIVATE, done, NULL, NULL, 0);
            }
            atomic_store(&pool->waiting, 0);
        }
    }
}

void edged_pool_run(edged_pool *pool, const edged_job *job) {
    uint64_t now = (uint64_t)generation(pool, 0) + 1;
    uint32_t parts = job->parts < MOST_PARTS ? job->parts : MOST_PARTS;
    pool->job = *job;
    pool->job.parts = parts;
    atomic_store_explicit(&pool->done, 0, memory_order_relaxed);
    for (uint32_t i = pool->threads; i-- > 0;) { /* the caller's own slice last: `now` is read from it */
        uint64_t first = (uint64_t)parts * i / pool->threads, end = (uint64_t)parts * (i + 1) / pool->threads;
        atomic_store(&pool->slices[i].ticket, now << (2 * PART_BITS) | end << PART_BITS | first);
    }
    wake(pool);
    uint32_t own = work_all(pool, 0);
    await_others(pool, parts - own);
}

uint32_t edged_pool_threads(const edged_pool *pool) {
    return pool->threads;
}

/* ---- the Python object ---- */

static void stop_workers(edged_pool *pool) {
    if (pool->workers != NULL && pool->forks == atomic_load(&forks)) {
        atomic_store(&pool->stop, 1);
        wake(pool);
        for (uint32_t i = 0; i < pool->started; i++) {
            pthread_join(pool->workers[i].thread, NULL);
        }
    }
    free(pool->workers);
    free(pool->slices);
}

static int start_workers(edged_pool *pool) {
    pool->workers = calloc(pool->threads, sizeof *pool->workers);
    pool->slices = aligned_alloc(LINE, pool->threads * sizeof *pool->slices);
    if (pool->workers == NULL || pool->slices == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (uint32_t i = 0; i < pool->threads; i++) {
        atomic_init(&pool->slices[i].ticket, 0);
    }
    for (uint32_t i = 0; i + 1 < pool->threads; i++) {
        pool->workers[i] = (worker){.pool = pool, .index = i + 1};
        errno = pthread_create(&pool->workers[i].thread, NULL, serve, &pool->workers[i]);
        if (errno != 0) {
            PyErr_SetFromErrno(PyExc_OSError);
            return -1;
        }
        pool->started++;
    }
    return 0;
}

typedef struct pool_object {
    PyObject_HEAD
    edged_pool *pool;
} pool_object;

edged_pool *edged_pool_of(PyObject *object) {
    if (!PyObject_TypeCheck(object, edged_pool_type)) {
        PyErr_SetString(PyExc_TypeError, "pool must be a Pool or None");
        return NULL;
    }
    return ((pool_object *)object)->pool;
}

static PyObject *pool_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    (void)kwargs;
    unsigned int threads;
    if (!PyArg_ParseTuple(args, "I", &threads)) {
        return NULL;
    }
    if (threads < 1 || threads > 1024) {
        PyErr_SetString(PyExc_ValueError, "threads must be 1..1024");
        return NULL;
    }
    pool_object *self = (pool_object *)((allocfunc)PyType_GetSlot(type, Py_tp_alloc))(type, 0);
    if (self == NULL) {
        return NULL;
    }
    self->pool = aligned_alloc(LINE, (sizeof *self->pool + LINE - 1) / LINE * LINE);
    if (self->pool == NULL) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    *self->pool = (edged_pool){.threads = threads, .forks = atomic_load(&forks), .taken = ATOMIC_FLAG_INIT};
    if (start_workers(self->pool) < 0) {
        Py_CLEAR(self);
    }
    return (PyObject *)self;
}

static void pool_dealloc(PyObject *object) {
    edged_pool *pool = ((pool_object *)object)->pool;
    if (pool != NULL) {
        Py_BEGIN_ALLOW_THREADS
        stop_workers(pool);
        Py_END_ALLOW_THREADS
        free(pool);
    }
    PyTypeObject *type = Py_TYPE(object);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(object);
    Py_DECREF(type);
}

static PyObject *pool_threads(PyObject *object, void *unused) {
    (void)unused;
    return PyLong_FromUnsignedLong(((pool_object *)object)->pool->threads);
}

static PyGetSetDef pool_getters[] = {
    {"threads", pool_threads, NULL, "Threads that work on a job, the caller's included.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static const char pool_doc[] =
    "Pool(threads)\n\nThreads that share the steps of a run; the calling thread is one of them. One run at a time has the pool: a\n"
    "second one at the same moment works on its own thread alone.";

static PyType_Slot pool_slots[] = {
    {Py_tp_new, (void *)pool_new},
    {Py_tp_dealloc, (void *)pool_dealloc},
    {Py_tp_getset, pool_getters},
    {Py_tp_doc, (void *)pool_doc},
    {0, NULL},
};

PyType_Spec edged_pool_spec = {
    "edged_backends._kernels.Pool", sizeof(pool_object), 0, Py_TPFLAGS_DEFAULT, pool_slots,
};

int edged_pool_prepare(void) {
    return pthread_atfork(NULL, NULL, count_fork);
}
