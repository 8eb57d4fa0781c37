/* Program: packed steps and operands, checked once. Every operand must lie inside its space, every params struct inside the params
 * bytes, every kernel must be usable on this CPU; after that the loop in workspace.c checks nothing but buffer sizes. */
#include "ext.h"

#include <stdlib.h>
#include <string.h>

PyTypeObject *edged_program_type;

static void *copy_of(const void *bytes, size_t size) {
    void *made = size ? aligned_alloc(64, (size + 63) / 64 * 64) : NULL;
    if (made != NULL) {
        memcpy(made, bytes, size);
    }
    return made;
}

static int refuse(const char *what, uint32_t index) {
    PyErr_Format(PyExc_ValueError, "program: %s (entry %u)", what, (unsigned)index);
    return -1;
}

static uint32_t params_size(const char *op) {
    for (uint32_t i = 0; i < edged_op_count; i++) {
        if (strcmp(edged_ops[i].op, op) != 0) {
            continue;
        }
        for (uint32_t j = 0; j < edged_struct_count; j++) {
            if (strcmp(edged_structs[j].name, edged_ops[i].name) == 0) {
                uint32_t n = 0;
                while (edged_structs[j].fields[n].name != NULL) {
                    n++;
                }
                return 4 * n;
            }
        }
    }
    return UINT32_MAX;
}

/* One packed step by itself: kernel, params and scratch. */
static int check_step(const edged_program *self, const edged_packed_step *p, uint32_t index, uint64_t params_bytes) {
    if (p->kernel >= edged_kernel_count) {
        return refuse("no such kernel", index);
    }
    const edged_kernel_row *row = &edged_kernels[p->kernel];
    if (row->arch & ~edged_detect()) {
        return refuse("this CPU cannot run the kernel", index);
    }
    uint64_t need = params_size(row->op);
    if (need == UINT32_MAX || p->params % 4 || p->params + need > params_bytes) {
        return refuse("params out of range", index);
    }
    if ((uint64_t)p->operand + p->operands > self->operand_count || p->scratch > self->scratch_bytes) {
        return refuse("operands or scratch out of range", index);
    }
    for (uint32_t i = 0; i < p->operands && p->block == 0; i++) {
        if (self->operands[p->operand + i].space == SPACE_BLOCK) {
            return refuse("a block outside a pair", index);
        }
    }
    return 0;
}

/* That the two steps hand over one tensor, the first's output and the second's input, and nothing else between them. */
static int check_pair(const edged_program *self, const edged_packed_step *p, uint32_t index) {
    const edged_operand *o = self->operands + p[0].operand, *given = o + p[0].operands + 1;
    if (p[1].operand != p[0].operand + p[0].operands || p[0].operands < 1 || p[1].operands < 2 || p[0].operands > PAIR_OPERANDS ||
        p[1].operands > PAIR_OPERANDS || p[1].block == 0 || p[0].units == 0) {
        return refuse("a pair of broken steps", index);
    }
    for (uint32_t i = 0; i < p[0].operands + p[1].operands; i++) {
        if ((o[i].space == SPACE_BLOCK) != (&o[i] == o || &o[i] == given)) {
            return refuse("a pair that hands over something else than one tensor", index);
        }
    }
    uint64_t room = o->size / p[0].units * p[0].block;
    uint32_t units = edged_pair_units(p);
    if (o->size != given->size || o->size % p[0].units || p[0].block > p[0].units ||
        units != ((uint64_t)p[1].units + p[1].block - 1) / p[1].block || edged_pair_at(p) + room > self->scratch_bytes) {
        return refuse("a pair whose blocks do not meet, or are larger than scratch", index);
    }
    return 0;
}

static int fill_steps(edged_program *self, const edged_packed_step *packed, uint64_t params_bytes) {
    const uint32_t count = self->step_count;
    self->steps = calloc(count + 1, sizeof *self->steps);
    self->pairs = calloc(count + 1, sizeof *self->pairs);
    if (self->steps == NULL || self->pairs == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    self->step_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        const edged_packed_step *p = &packed[i];
        edged_step *step = &self->steps[self->step_count];
        if (check_step(self, p, i, params_bytes)) {
            return -1;
        }
        if (p->block == 0) {
            *step = (edged_step){edged_kernels[p->kernel].function, self->params + p->params, p->operand, p->units, p->rounds};
        } else {
            if (++i == count) {
                return refuse("half of a pair", i - 1);
            }
            if (check_step(self, p + 1, i, params_bytes) || check_pair(self, p, i - 1)) {
                return -1;
            }
            edged_kernel *const functions[] = {edged_kernels[p[0].kernel].function, edged_kernels[p[1].kernel].function};
            edged_pair *pair = &self->pairs[self->step_count];
            *pair = edged_pair_of(p, functions, self->params, self->operands[p->operand].size);
            *step = (edged_step){edged_run_pair, pair, p->operand, edged_pair_units(p), p->rounds};
        }
        self->step_count++;
    }
    return 0;
}

static int space_size(const edged_program *self, const edged_operand *o, uint64_t *size) {
    switch (o->space) {
    case SPACE_ARENA: *size = self->arena_bytes; return 0;
    case SPACE_VARIABLE: *size = self->variable_bytes; return 0;
    case SPACE_CONSTANT: *size = o->index < self->constant_count ? (uint64_t)self->constants[o->index].len : 0; break;
    case SPACE_INPUT: *size = o->index < self->input_count ? self->inputs[o->index] : 0; break;
    case SPACE_OUTPUT: *size = o->index < self->output_count ? self->outputs[o->index] : 0; break;
    default: return -1;
    }
    return 0;
}

static int fill_operands(edged_program *self) {
    self->moving = calloc(self->operand_count + 1, sizeof *self->moving);
    if (self->moving == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (uint32_t i = 0; i < self->operand_count; i++) {
        const edged_operand *o = &self->operands[i];
        uint64_t size = 0;
        if (o->space == SPACE_NONE || o->space == SPACE_BLOCK) {
            continue;
        }
        if (space_size(self, o, &size) || o->offset > size || o->size > size - o->offset) {
            return refuse("operand outside its space", i);
        }
        if (o->space == SPACE_INPUT || o->space == SPACE_OUTPUT) {
            self->moving[self->moving_count++] = i;
        }
    }
    return 0;
}

/* `spaces`: u64 arena, variables, scratch, number of inputs, their sizes, number of outputs, their sizes. */
static int fill_spaces(edged_program *self, const uint64_t *spaces, uint64_t count) {
    if (count < 5 || spaces[3] > count - 5 || spaces[4 + spaces[3]] != count - 5 - spaces[3] || count > 1 << 20) {
        PyErr_SetString(PyExc_ValueError, "program: the table of spaces is not whole");
        return -1;
    }
    self->arena_bytes = spaces[0];
    self->variable_bytes = spaces[1];
    self->scratch_bytes = spaces[2];
    self->input_count = (uint32_t)spaces[3];
    self->output_count = (uint32_t)spaces[4 + spaces[3]];
    self->inputs = calloc(count, sizeof *self->inputs);
    if (self->inputs == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    self->outputs = self->inputs + self->input_count;
    memcpy(self->inputs, spaces + 4, self->input_count * sizeof *spaces);
    memcpy(self->outputs, spaces + 5 + spaces[3], self->output_count * sizeof *spaces);
    return 0;
}

static int hold_constants(edged_program *self, PyObject *blocks) {
    Py_ssize_t count = PyTuple_Size(blocks);
    self->constants = calloc((size_t)count + 1, sizeof *self->constants);
    if (self->constants == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        if (PyObject_GetBuffer(PyTuple_GetItem(blocks, i), &self->constants[i], PyBUF_SIMPLE) < 0) {
            return -1;
        }
        self->constant_count++;
    }
    return 0;
}

static PyObject *program_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    const char *steps, *operands, *params, *spaces;
    Py_ssize_t steps_len, operands_len, params_len, spaces_len;
    PyObject *blocks;
    if (kwargs != NULL && PyDict_Size(kwargs) > 0) {
        PyErr_SetString(PyExc_TypeError, "Program takes positional arguments only");
        return NULL;
    }
    if (!PyArg_ParseTuple(args, "y#y#y#y#O", &steps, &steps_len, &operands, &operands_len, &params, &params_len, &spaces,
                          &spaces_len, &blocks)) {
        return NULL;
    }
    if (steps_len % sizeof(edged_packed_step) || operands_len % sizeof(edged_operand) || spaces_len % sizeof(uint64_t) ||
        !PyTuple_Check(blocks)) {
        PyErr_SetString(PyExc_ValueError, "program: a table of broken length, or constants that are no tuple");
        return NULL;
    }
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    edged_program *self = (edged_program *)allocate(type, 0);
    if (self == NULL) {
        return NULL;
    }
    self->step_count = (uint32_t)((size_t)steps_len / sizeof(edged_packed_step));
    self->operand_count = (uint32_t)((size_t)operands_len / sizeof(edged_operand));
    self->operands = copy_of(operands, (size_t)operands_len);
    self->params = copy_of(params, (size_t)params_len);
    edged_packed_step *packed = copy_of(steps, (size_t)steps_len);
    uint64_t *sizes = copy_of(spaces, (size_t)spaces_len);
    int failed = (operands_len && !self->operands) || (params_len && !self->params) || (steps_len && !packed) || !sizes;
    if (failed) {
        PyErr_NoMemory();
    }
    failed = failed || fill_spaces(self, sizes, (size_t)spaces_len / sizeof *sizes) || hold_constants(self, blocks) ||
             fill_operands(self) || fill_steps(self, packed, (uint64_t)params_len);
    free(packed);
    free(sizes);
    if (failed) {
        Py_CLEAR(self);
    }
    return (PyObject *)self;
}

static void program_dealloc(PyObject *object) {
    edged_program *self = (edged_program *)object;
    for (uint32_t i = 0; i < self->constant_count; i++) {
        PyBuffer_Release(&self->constants[i]);
    }
    free(self->constants);
    free(self->inputs);
    free(self->moving);
    free(self->steps);
    free(self->pairs);
    free(self->params);
    free(self->operands);
    PyTypeObject *type = Py_TYPE(object);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(object);
    Py_DECREF(type);
}

static const char program_doc[] =
    "Program(steps, operands, params, spaces, constants)\n\n"
    "A checked program: packed steps, operands, params and sizes (bytes), and a tuple of constant blocks (buffers).";

static PyType_Slot program_slots[] = {
    {Py_tp_new, (void *)program_new},
    {Py_tp_dealloc, (void *)program_dealloc},
    {Py_tp_doc, (void *)program_doc},
    {0, NULL},
};

PyType_Spec edged_program_spec = {
    "edged_backends._kernels.Program", sizeof(edged_program), 0, Py_TPFLAGS_DEFAULT, program_slots,
};
