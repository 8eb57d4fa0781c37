/* The Python module edged_backends._kernels: the kernel table as data, and the types Program, Workspace and Pool. */
#include "ext.h"

static PyObject *detect(PyObject *module, PyObject *unused) {
    (void)module;
    (void)unused;
    return PyLong_FromUnsignedLong(edged_detect());
}

static PyObject *table(PyObject *module, PyObject *unused) {
    (void)module;
    (void)unused;
    PyObject *rows = PyList_New(0);
    for (uint32_t i = 0; rows != NULL && i < edged_kernel_count; i++) {
        const edged_kernel_row *k = &edged_kernels[i];
        PyObject *row = Py_BuildValue("(IssHHH)", (unsigned)k->arch, k->op, k->name, k->mr, k->nr, k->kr);
        if (row == NULL || PyList_Append(rows, row) < 0) {
            Py_CLEAR(rows);
        }
        Py_XDECREF(row);
    }
    return rows;
}

static PyObject *layout(const edged_field *fields) {
    PyObject *list = PyList_New(0);
    for (const edged_field *f = fields; list != NULL && f->name != NULL; f++) {
        PyObject *pair = Py_BuildValue("(sC)", f->name, (int)f->type);
        if (pair == NULL || PyList_Append(list, pair) < 0) {
            Py_CLEAR(list);
        }
        Py_XDECREF(pair);
    }
    return list;
}

static PyObject *params(PyObject *module, PyObject *unused) {
    (void)module;
    (void)unused;
    PyObject *all = PyDict_New();
    for (uint32_t i = 0; all != NULL && i < edged_struct_count; i++) {
        PyObject *fields = layout(edged_structs[i].fields);
        if (fields == NULL || PyDict_SetItemString(all, edged_structs[i].name, fields) < 0) {
            Py_CLEAR(all);
        }
        Py_XDECREF(fields);
    }
    return all;
}

static PyObject *op_params(PyObject *module, PyObject *unused) {
    (void)module;
    (void)unused;
    PyObject *all = PyDict_New();
    for (uint32_t i = 0; all != NULL && i < edged_op_count; i++) {
        PyObject *name = PyUnicode_FromString(edged_ops[i].name);
        if (name == NULL || PyDict_SetItemString(all, edged_ops[i].op, name) < 0) {
            Py_CLEAR(all);
        }
        Py_XDECREF(name);
    }
    return all;
}

static PyMethodDef methods[] = {
    {"detect", detect, METH_NOARGS, "detect() -> int\n\nInstruction sets of this CPU, bits of enum edged_arch."},
    {"table", table, METH_NOARGS, "table() -> list of (arch, op, name, mr, nr, kr)\n\nEvery kernel that was compiled in."},
    {"params", params, METH_NOARGS, "params() -> dict of struct name to list of (field, type)"},
    {"op_params", op_params, METH_NOARGS, "op_params() -> dict of op to struct name"},
    {NULL, NULL, 0, NULL},
};

static PyTypeObject *add_type(PyObject *module, const char *name, PyType_Spec *spec) {
    PyObject *type = PyType_FromModuleAndSpec(module, spec, NULL);
    if (type != NULL && PyModule_AddObjectRef(module, name, type) < 0) {
        Py_CLEAR(type);
    }
    return (PyTypeObject *)type; /* kept for the process's lifetime */
}

static int fill(PyObject *module) {
    if (edged_pool_prepare() != 0) {
        PyErr_NoMemory();
        return -1;
    }
    edged_program_type = add_type(module, "Program", &edged_program_spec);
    edged_pool_type = add_type(module, "Pool", &edged_pool_spec);
    PyTypeObject *workspace = add_type(module, "Workspace", &edged_workspace_spec);
    return edged_program_type == NULL || edged_pool_type == NULL || workspace == NULL ? -1 : 0;
}

static PyModuleDef_Slot slots[] = {{Py_mod_exec, (void *)fill}, {0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_kernels", "edged's C kernels and the loop that runs a program of them.", 0, methods, slots, NULL,
    NULL, NULL,
};

PyMODINIT_FUNC PyInit__kernels(void) {
    return PyModuleDef_Init(&definition);
}
