/* What the files of the extension share: the objects, and the thread pool's C face. */
#ifndef EDGED_EXT_H
#define EDGED_EXT_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "packed.h"
#include "pair.h"
#include "table.h"

/* A step ready to run. `rounds`: into how many parts for each thread it is divided; 0 when it is too short to be. */
typedef struct edged_step {
    edged_kernel *function;
    const void *params;
    uint32_t operand, units, rounds;
} edged_step;

typedef struct edged_program {
    PyObject_HEAD
    edged_step *steps;
    edged_pair *pairs; /* the params of steps that are pairs */
    edged_operand *operands;
    char *params;
    uint32_t *moving; /* indices of the operands that are inputs or outputs: their address changes with every run */
    uint64_t *inputs, *outputs;
    Py_buffer *constants;
    uint64_t arena_bytes, variable_bytes, scratch_bytes;
    uint32_t step_count, operand_count, moving_count, input_count, output_count, constant_count;
} edged_program;

/* One step's work as the pool divides it: `scratch` + thread * `stride` for each thread. */
typedef struct edged_job {
    const edged_step *step;
    void *const *operands;
    char *scratch;
    size_t stride;
    uint32_t parts; /* at most the step's units */
} edged_job;

typedef struct edged_pool edged_pool;

/* The calling thread takes the pool for a run, and wakes its workers. False when another run has it, or after a fork: the caller then
 * works alone. */
int edged_pool_take(edged_pool *pool);
void edged_pool_give_back(edged_pool *pool);
/* Runs the job on the calling thread and on every worker that is awake; returns when all parts are done. */
void edged_pool_run(edged_pool *pool, const edged_job *job);
uint32_t edged_pool_threads(const edged_pool *pool);
/* The pool inside a Pool object, or NULL with TypeError set. */
edged_pool *edged_pool_of(PyObject *object);
/* Once per process, before the first pool: learns of forks. 0, or an error number. */
int edged_pool_prepare(void);

extern PyType_Spec edged_program_spec, edged_workspace_spec, edged_pool_spec;
extern PyTypeObject *edged_program_type, *edged_pool_type;

#endif
