/* A TCG plugin for whole boards that counts the instructions from the start of one function to the start of another:
 * -plugin count_between.so,begin=ADDRESS,end=ADDRESS (hexadecimal). Prints the sum and the number of times at the end.
 *
 * QEMU's API, version 1, is declared as in count_plugin.c. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
enum qemu_plugin_op { QEMU_PLUGIN_INLINE_ADD_U64 };
enum qemu_plugin_cb_flags { QEMU_PLUGIN_CB_NO_REGS };
typedef void tb_callback(qemu_plugin_id_t id, struct qemu_plugin_tb *tb);
typedef void exec_callback(unsigned vcpu, void *data);
typedef void exit_callback(qemu_plugin_id_t id, void *data);
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id, tb_callback *callback);
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *tb, enum qemu_plugin_op op, void *counter, uint64_t add);
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *tb, exec_callback *callback, enum qemu_plugin_cb_flags flags, void *data);
void qemu_plugin_register_atexit_cb(qemu_plugin_id_t id, exit_callback *callback, void *data);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *tb);

#define EXPORT __attribute__((visibility("default")))
EXPORT int qemu_plugin_version = 1;

static uint64_t executed, at_begin, sum, times, begin_at, end_at;

static void begun(unsigned vcpu, void *data) {
    (void)vcpu, (void)data;
    at_begin = executed;
}

static void ended(unsigned vcpu, void *data) {
    (void)vcpu, (void)data;
    sum += executed - at_begin;
    times++;
}

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *tb) {
    (void)id;
    const uint64_t at = qemu_plugin_tb_vaddr(tb);
    if (at == begin_at) qemu_plugin_register_vcpu_tb_exec_cb(tb, begun, QEMU_PLUGIN_CB_NO_REGS, NULL);
    if (at == end_at) qemu_plugin_register_vcpu_tb_exec_cb(tb, ended, QEMU_PLUGIN_CB_NO_REGS, NULL);
    qemu_plugin_register_vcpu_tb_exec_inline(tb, QEMU_PLUGIN_INLINE_ADD_U64, &executed, qemu_plugin_tb_n_insns(tb));
}

static void leaving(qemu_plugin_id_t id, void *data) {
    (void)id, (void)data;
    fprintf(stderr, "instructions %llu runs %llu\n", (unsigned long long)sum, (unsigned long long)times);
}

EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int argc, char **argv) {
    (void)info;
    for (int i = 0; i < argc; i++) {
        if (strncmp(argv[i], "begin=", 6) == 0) begin_at = strtoull(argv[i] + 6, NULL, 16);
        if (strncmp(argv[i], "end=", 4) == 0) end_at = strtoull(argv[i] + 4, NULL, 16);
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_atexit_cb(id, leaving, NULL);
    return 0;
}
