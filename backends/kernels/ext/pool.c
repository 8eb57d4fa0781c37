/* The thread pool: persistent workers that spin briefly after a job and then sleep in a futex.
 *
 * One run has the pool at a time (edged_pool_take); a second, concurrent run does its steps on its own thread. A job is offered by
 * raising `generation`; a worker enters it by raising `inside` and then looking whether the job is still open. The caller works
 * through chunks itself, closes the job, and waits for those who entered, so that it never waits for a worker that is still
 * being woken. */
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

enum { LINE = 64, SPIN_NS = 60000, SPINS_PER_LOOK = 32 };

typedef struct worker {
    edged_pool *pool;
    pthread_t thread;
    uint32_t index;
} worker;

struct edged_pool {
    edged_job job;
    worker *workers;
    uint32_t threads, started, forks;
    _Alignas(LINE) _Atomic uint32_t generation;
    _Alignas(LINE) _Atomic uint32_t open;
    _Alignas(LINE) _Atomic uint32_t next;
    _Alignas(LINE) _Atomic uint32_t inside;
    _Alignas(LINE) _Atomic uint32_t sleepers;
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

static void work(const edged_job *job, _Atomic uint32_t *next, uint32_t thread) {
    const edged_step *step = job->step;
    edged_task task = {0, 0, job->scratch + thread * job->stride};
    for (;;) {
        uint32_t begin = atomic_fetch_add_explicit(next, job->chunk, memory_order_relaxed);
        if (begin >= step->units) {
            return;
        }
        task.begin = begin;
        task.end = step->units - begin < job->chunk ? step->units : begin + job->chunk;
        step->function(step->params, job->operands, &task);
    }
}

/* Waits until `generation` is no longer `seen`: spins, then sleeps. */
static uint32_t next_generation(edged_pool *pool, uint32_t seen) {
    uint64_t until = now_ns() + SPIN_NS;
    for (;;) {
        for (int i = 0; i < SPINS_PER_LOOK; i++) {
            uint32_t now = atomic_load_explicit(&pool->generation, memory_order_acquire);
            if (now != seen) {
                return now;
            }
            relax();
        }
        if (now_ns() >= until) {
            atomic_fetch_add(&pool->sleepers, 1);
            syscall(SYS_futex, &pool->generation, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
            until = now_ns() + SPIN_NS;
        }
    }
}

static void *serve(void *argument) {
    worker *self = argument;
    edged_pool *pool = self->pool;
    uint32_t seen = 0;
    while (!atomic_load(&pool->stop)) {
        seen = next_generation(pool, seen);
        atomic_fetch_add(&pool->inside, 1);
        if (atomic_load(&pool->open) == seen) {
            work(&pool->job, &pool->next, self->index);
        }
        atomic_fetch_sub(&pool->inside, 1);
    }
    return NULL;
}

/* Raises the generation, and wakes who sleeps. `open` names the generation whose job may be entered; 0 opens none. */
static void announce(edged_pool *pool, int job_is_there) {
    uint32_t generation = atomic_load_explicit(&pool->generation, memory_order_relaxed) + 1;
    generation += generation == 0;
    atomic_store(&pool->open, job_is_there ? generation : 0);
    atomic_store(&pool->generation, generation);
    if (atomic_exchange(&pool->sleepers, 0) > 0) {
        syscall(SYS_futex, &pool->generation, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
    }
}

int edged_pool_take(edged_pool *pool) {
    if (pool->threads == 1 || pool->forks != atomic_load(&forks) || atomic_flag_test_and_set(&pool->taken)) {
        return 0;
    }
    if (atomic_load(&pool->sleepers) > 0) {
        announce(pool, 0);
    }
    return 1;
}

void edged_pool_give_back(edged_pool *pool) {
    atomic_flag_clear(&pool->taken);
}

void edged_pool_run(edged_pool *pool, const edged_job *job) {
    pool->job = *job;
    atomic_store_explicit(&pool->next, 0, memory_order_relaxed);
    announce(pool, 1);
    work(job, &pool->next, 0);
    atomic_store(&pool->open, 0);
    while (atomic_load(&pool->inside) != 0) {
        relax();
    }
}

uint32_t edged_pool_threads(const edged_pool *pool) {
    return pool->threads;
}

/* ---- the Python object ---- */

static void stop_workers(edged_pool *pool) {
    if (pool->workers != NULL && pool->forks == atomic_load(&forks)) {
        atomic_store(&pool->stop, 1);
        announce(pool, 0);
        for (uint32_t i = 0; i < pool->started; i++) {
            pthread_join(pool->workers[i].thread, NULL);
        }
    }
    free(pool->workers);
    pool->workers = NULL;
}

static int start_workers(edged_pool *pool) {
    pool->workers = calloc(pool->threads, sizeof *pool->workers);
    if (pool->workers == NULL) {
        PyErr_NoMemory();
        return -1;
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
