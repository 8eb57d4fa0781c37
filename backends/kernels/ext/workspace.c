/* Workspace: the memory that one run of a program works in, with all operand addresses resolved ahead, and the run itself.
 *
 * Layout of its buffer: arena, then variables. Scratch lies behind and is not visible from Python. One run at a time. */
#include "ext.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

enum { ALIGN = 64, INLINE_BUFFERS = 16, HUGE_BYTES = 4 << 20 };

typedef struct workspace {
    PyObject_HEAD
    edged_program *program;
    char *memory;
    size_t visible, stride;
    void **pointers;
    uint32_t threads;
    int busy;
} workspace;

static size_t rounded(uint64_t bytes) {
    return (size_t)((bytes + ALIGN - 1) / ALIGN * ALIGN);
}

static void resolve(workspace *self) {
    const edged_program *p = self->program;
    char *bases[] = {NULL, self->memory, NULL, self->memory + rounded(p->arena_bytes)};
    for (uint32_t i = 0; i < p->operand_count; i++) {
        const edged_operand *o = &p->operands[i];
        if (o->space == SPACE_ARENA || o->space == SPACE_VARIABLE) {
            self->pointers[i] = bases[o->space] + o->offset;
        } else if (o->space == SPACE_CONSTANT) {
            self->pointers[i] = (char *)p->constants[o->index].buf + o->offset;
        }
    }
}

static int allocate(workspace *self) {
    const edged_program *p = self->program;
    self->visible = rounded(p->arena_bytes) + rounded(p->variable_bytes);
    self->stride = rounded(p->scratch_bytes);
    size_t total = self->visible + self->stride * self->threads + ALIGN;
    size_t align = total >= HUGE_BYTES ? 2 << 20 : 4096;
    self->memory = aligned_alloc(align, (total + align - 1) / align * align);
    self->pointers = calloc(p->operand_count + 1, sizeof *self->pointers);
    if (self->memory == NULL || self->pointers == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    if (total >= HUGE_BYTES) {
        madvise(self->memory, total, MADV_HUGEPAGE);
    }
    memset(self->memory, 0, self->visible);
    resolve(self);
    return 0;
}

static PyObject *workspace_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    (void)kwargs;
    PyObject *program;
    unsigned int threads = 1;
    if (!PyArg_ParseTuple(args, "O!|I", edged_program_type, &program, &threads)) {
        return NULL;
    }
    if (threads < 1 || threads > 1024) {
        PyErr_SetString(PyExc_ValueError, "threads must be 1..1024");
        return NULL;
    }
    workspace *self = (workspace *)((allocfunc)PyType_GetSlot(type, Py_tp_alloc))(type, 0);
    if (self == NULL) {
        return NULL;
    }
    self->program = (edged_program *)Py_NewRef(program);
    self->threads = threads;
    if (allocate(self) < 0) {
        Py_CLEAR(self);
    }
    return (PyObject *)self;
}

static void workspace_dealloc(PyObject *object) {
    workspace *self = (workspace *)object;
    free(self->memory);
    free(self->pointers);
    Py_XDECREF((PyObject *)self->program);
    PyTypeObject *type = Py_TYPE(object);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(object);
    Py_DECREF(type);
}

static int workspace_buffer(PyObject *object, Py_buffer *view, int flags) {
    workspace *self = (workspace *)object;
    return PyBuffer_FillInfo(view, object, self->memory, (Py_ssize_t)self->visible, 0, flags);
}

/* ---- running ---- */

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void run_step(const workspace *self, const edged_step *step, edged_pool *pool, char *scratch) {
    void *const *operands = (void *const *)self->pointers + step->operand;
    if (pool != NULL && step->rounds > 0 && step->units > 1) {
        uint32_t parts = step->rounds * edged_pool_threads(pool);
        edged_job job = {step, operands, scratch, self->stride, step->units < parts ? step->units : parts};
        edged_pool_run(pool, &job);
        return;
    }
    edged_task task = {0, step->units, scratch};
    step->function(step->params, operands, &task);
}

static void run_steps(workspace *self, uint32_t begin, uint32_t end, edged_pool *pool, uint64_t *times) {
    char *scratch = self->memory + self->visible;
    const edged_step *steps = self->program->steps;
    if (times == NULL && pool == NULL) {
        edged_task task = {0, 0, scratch};
        for (const edged_step *s = steps + begin; s != steps + end; s++) {
            task.end = s->units;
            s->function(s->params, (void *const *)self->pointers + s->operand, &task);
        }
        return;
    }
    for (uint32_t i = begin; i < end; i++) {
        uint64_t start = times ? now_ns() : 0;
        run_step(self, &steps[i], pool, scratch);
        if (times) {
            times[i] += now_ns() - start;
        }
    }
}

/* True when some step of the range is worth more than one thread. */
static int worth_a_pool(const edged_program *p, uint32_t begin, uint32_t end) {
    for (uint32_t i = begin; i < end; i++) {
        if (p->steps[i].rounds > 0 && p->steps[i].units > 1) {
            return 1;
        }
    }
    return 0;
}

/* The buffers of one side of a run; `held` of them are to be released. */
typedef struct buffers {
    Py_buffer local[INLINE_BUFFERS];
    Py_buffer *all;
    uint32_t held;
} buffers;

static void release(buffers *b) {
    for (uint32_t i = 0; i < b->held; i++) {
        PyBuffer_Release(&b->all[i]);
    }
    if (b->all != b->local) {
        PyMem_Free(b->all);
    }
}

static int hold(buffers *b, PyObject *sequence, const uint64_t *sizes, uint32_t count, int flags, const char *side) {
    b->held = 0;
    b->all = count <= INLINE_BUFFERS ? b->local : PyMem_Calloc(count, sizeof(Py_buffer));
    if (b->all == NULL) {
        b->all = b->local;
        PyErr_NoMemory();
        return -1;
    }
    if (PySequence_Size(sequence) != (Py_ssize_t)count) {
        if (!PyErr_Occurred()) {
            PyErr_Format(PyExc_ValueError, "%u %ss are needed, %zd given", (unsigned)count, side, PySequence_Size(sequence));
        }
        return -1;
    }
    for (uint32_t i = 0; i < count; i++) {
        PyObject *item = PySequence_GetItem(sequence, i);
        int failed = item == NULL || PyObject_GetBuffer(item, &b->all[i], flags) < 0;
        Py_XDECREF(item);
        if (failed) {
            return -1;
        }
        b->held++;
        if ((uint64_t)b->all[i].len != sizes[i]) {
            PyErr_Format(PyExc_ValueError, "%s %u has %zd bytes, %llu are needed", side, (unsigned)i, b->all[i].len,
                         (unsigned long long)sizes[i]);
            return -1;
        }
        if (((uintptr_t)b->all[i].buf & 7) != 0 && sizes[i] >= 8) {
            PyErr_Format(PyExc_BufferError, "%s %u must start at a multiple of 8 bytes", side, (unsigned)i);
            return -1;
        }
    }
    return 0;
}

static void patch(workspace *self, const buffers *in, const buffers *out) {
    const edged_program *p = self->program;
    for (uint32_t i = 0; i < p->moving_count; i++) {
        uint32_t which = p->moving[i];
        const edged_operand *o = &p->operands[which];
        const buffers *side = o->space == SPACE_INPUT ? in : out;
        self->pointers[which] = (char *)side->all[o->index].buf + o->offset;
    }
}

static PyObject *run_held(workspace *self, uint32_t begin, uint32_t end, edged_pool *pool, uint64_t *times) {
    self->busy = 1;
    Py_BEGIN_ALLOW_THREADS
    edged_pool *taken = pool != NULL && worth_a_pool(self->program, begin, end) && edged_pool_take(pool) ? pool : NULL;
    run_steps(self, begin, end, taken, times);
    if (taken != NULL) {
        edged_pool_give_back(taken);
    }
    Py_END_ALLOW_THREADS
    self->busy = 0;
    return Py_NewRef(Py_None);
}

static PyObject *run_between(workspace *self, PyObject *const *args, uint32_t begin, uint32_t end, edged_pool *pool,
                             uint64_t *times) {
    const edged_program *p = self->program;
    buffers in, out;
    PyObject *result = NULL;
    if (hold(&in, args[0], p->inputs, p->input_count, PyBUF_SIMPLE, "input") == 0) {
        if (hold(&out, args[1], p->outputs, p->output_count, PyBUF_WRITABLE, "output") == 0) {
            patch(self, &in, &out);
            result = run_held(self, begin, end, pool, times);
        }
        release(&out);
    }
    release(&in);
    return result;
}

static int read_range(const edged_program *p, PyObject *const *args, Py_ssize_t count, uint32_t *begin, uint32_t *end) {
    unsigned long first = count > 3 ? PyLong_AsUnsignedLong(args[3]) : 0;
    unsigned long last = count > 4 ? PyLong_AsUnsignedLong(args[4]) : p->step_count;
    if (PyErr_Occurred()) {
        return -1;
    }
    if (first > last || last > p->step_count) {
        PyErr_Format(PyExc_ValueError, "steps %lu..%lu of a program of %u", first, last, (unsigned)p->step_count);
        return -1;
    }
    *begin = (uint32_t)first;
    *end = (uint32_t)last;
    return 0;
}

static PyObject *run_timed(workspace *self, PyObject *const *args, uint32_t begin, uint32_t end, edged_pool *pool) {
    Py_buffer times;
    if (PyObject_GetBuffer(args[5], &times, PyBUF_WRITABLE) < 0) {
        return NULL;
    }
    PyObject *result = NULL;
    if ((uint64_t)times.len < 8ull * self->program->step_count || ((uintptr_t)times.buf & 7)) {
        PyErr_SetString(PyExc_ValueError, "times must hold one aligned uint64 per step");
    } else {
        result = run_between(self, args, begin, end, pool, times.buf);
    }
    PyBuffer_Release(&times);
    return result;
}

static PyObject *workspace_run(PyObject *object, PyObject *const *args, Py_ssize_t count) {
    workspace *self = (workspace *)object;
    edged_pool *pool = NULL;
    uint32_t begin, end;
    if (count < 2 || count > 6) {
        PyErr_SetString(PyExc_TypeError, "run(inputs, outputs, pool=None, begin=0, end=all, times=None)");
        return NULL;
    }
    if (self->busy) {
        PyErr_SetString(PyExc_RuntimeError, "this workspace is in use by another run");
        return NULL;
    }
    if (count > 2 && args[2] != Py_None) {
        pool = edged_pool_of(args[2]);
        if (pool == NULL) {
            return NULL;
        }
        if (edged_pool_threads(pool) > self->threads) {
            PyErr_SetString(PyExc_ValueError, "the pool has more threads than the workspace has scratch for");
            return NULL;
        }
    }
    if (read_range(self->program, args, count, &begin, &end) < 0) {
        return NULL;
    }
    if (count > 5 && args[5] != Py_None) {
        return run_timed(self, args, begin, end, pool);
    }
    return run_between(self, args, begin, end, pool, NULL);
}

static PyObject *workspace_memory(PyObject *object, PyObject *unused) {
    (void)unused;
    return PyMemoryView_FromObject(object);
}

static PyMethodDef workspace_methods[] = {
    {"memory", workspace_memory, METH_NOARGS, "memory() -> memoryview of the arena, then the variables."},
    {"run", (PyCFunction)(void (*)(void))workspace_run, METH_FASTCALL,
     "run(inputs, outputs, pool=None, begin=0, end=all, times=None)\n\n"
     "Runs steps begin..end with the GIL released. Buffers must have the sizes the program states. `times`: a uint64 buffer\n"
     "to which each step adds its nanoseconds."},
    {NULL, NULL, 0, NULL},
};

static const char workspace_doc[] =
    "Workspace(program, threads=1)\n\n"
    "Zeroed working memory for one run at a time; as a buffer: the arena, then the variables (each rounded up to 64 bytes).";

static PyType_Slot workspace_slots[] = {
    {Py_tp_new, (void *)workspace_new},
    {Py_tp_dealloc, (void *)workspace_dealloc},
    {Py_tp_methods, workspace_methods},
    {Py_tp_doc, (void *)workspace_doc},
    {Py_bf_getbuffer, (void *)workspace_buffer},
    {0, NULL},
};

PyType_Spec edged_workspace_spec = {
    "edged_backends._kernels.Workspace", sizeof(workspace), 0, Py_TPFLAGS_DEFAULT, workspace_slots,
};
