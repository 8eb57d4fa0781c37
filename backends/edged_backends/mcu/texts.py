"""Fixed parts of generated C, and of what builds it."""

from __future__ import annotations

HEADER = """\
/* $name: made by edged. Give it an arena of ${upper}_ARENA_BYTES, 16-byte aligned, and ${upper}_STATE_BYTES
 * of state; write the inputs where ${name}_tensor says, run, read the outputs there. A run uses inputs up.
 *
$ends
 */
#ifndef ${upper}_H
#define ${upper}_H

#define ${upper}_ARENA_BYTES $arena
#define ${upper}_STATE_BYTES $state

#ifdef __cplusplus
extern "C" {
#endif

/* Sets the variables of a streaming model to their first values. */
void ${name}_init(void *state);

/* Where a tensor lies in the arena: inputs are 0, 1, ...; outputs -1, -2, ...; NULL where there is none. */
void *${name}_tensor(void *arena, int which);

/* Computes the outputs. 0, or a negative error: -1 for an arena that is not aligned. */
int ${name}_run(void *arena, void *state);

#ifdef __cplusplus
}
#endif

#endif
"""

OPENING = """\
/* $name: made by edged. The kernels' calls in order; nothing here decides anything. */
#include "$name.h"

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "kernels/abi.h"
#include "kernels/params.h"

/* Nothing here takes time, but flash: this file is for size, the kernels for speed. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("Os")
#endif
/* A kernel's operands are one array of addresses; it writes only those that params.inc calls outputs. */
#define EDGED_CONSTANT(c, offset) ((void *)((uintptr_t)(c) + (offset)))
"""

CLOSING = """\
void ${name}_init(void *state) {
    uint8_t *s = state;
    (void)s;
$init
}

void *${name}_tensor(void *arena, int which) {
    uint8_t *a = arena;
    switch (which) {
$tensors
    default: return NULL;
    }
}

int ${name}_run(void *arena, void *state) {
    uint8_t *a = arena, *s = state;
    if ((uintptr_t)arena % 16 != 0) return -1;
$calls
    return 0;
}
"""

TAPPED = """\

/* As ${name}_run; `tap` is called with the number of each step after it, for counting ticks. */
int ${name}_run_tapped(void *arena, void *state, void (*tap)(uint32_t step)) {
    uint8_t *a = arena, *s = state;
    if ((uintptr_t)arena % 16 != 0) return -1;
$calls
    return 0;
}
"""

DESCRIPTOR = """\
/* $name: made by edged. What the firmware's loader finds first in a slot. */
#include "program.h"

#include "$name.h"

int ${name}_run_tapped(void *arena, void *state, void (*tap)(uint32_t step));

static const uint32_t tensor_bytes[] = {$bytes};
static const edged_end tensor_ends[] = {$meanings};

#if defined(__GNUC__)
__attribute__((section(".edged_program"), used))
#endif
const edged_program edged_program_descriptor = {
    .magic = EDGED_PROGRAM_MAGIC,
    .inputs = $inputs,
    .outputs = $outputs,
    .bytes = tensor_bytes,
    .arena_bytes = ${upper}_ARENA_BYTES,
    .state_bytes = ${upper}_STATE_BYTES,
    .init = ${name}_init,
    .tensor = ${name}_tensor,
    .run = ${name}_run,
    .steps = $steps,
    .run_tapped = ${name}_run_tapped,
    .digest = {$digest},
    .name = "$short",
    .ends = tensor_ends,
};
"""

_MAKEFILE = """\
# Builds lib$name.a; made by edged. CC, CFLAGS and AR may be given.
ifeq ($$(origin CC),default)
CC := $cc
endif
ifeq ($$(origin AR),default)
AR := $ar
endif
CFLAGS ?= -O2 $cflags
SOURCES := $sources
OBJECTS := $$(SOURCES:.c=.o)

lib$name.a: $$(OBJECTS)
\t$$(AR) rcs $$@ $$^

%.o: %.c
\t$$(CC) -std=c99 -Wall -Wextra -Wpedantic -Werror -ffunction-sections -fdata-sections $$(CFLAGS) \\
\t    -c $$< -o $$@

clean:
\trm -f lib$name.a $$(OBJECTS)
"""

_CMAKE = """\
# Made by edged. add_subdirectory() this folder and link $name; give the CPU in your own toolchain file.
cmake_minimum_required(VERSION 3.13)
project($name C)
add_library($name STATIC
    $listed)
target_include_directories($name PUBLIC $${CMAKE_CURRENT_LIST_DIR})
target_compile_options($name PRIVATE -ffunction-sections -fdata-sections)
set_target_properties($name PROPERTIES C_STANDARD 99)
"""

_README = """\
$name, for $target: made by edged, to be built into any firmware.

    #include "$name.h"

    static uint8_t arena[${upper}_ARENA_BYTES] __attribute__((aligned(16)));
    static uint8_t state[${upper}_STATE_BYTES + 1];

    ${name}_init(state);
    memcpy(${name}_tensor(arena, 0), input, ...);
    if (${name}_run(arena, state) == 0) use(${name}_tensor(arena, -1));

`make` builds lib$name.a, `CMakeLists.txt` a target $name. C99, no heap, no libc beyond string.h and math.h.
Link with -Wl,--gc-sections: kernels/ has whole files, and the linker keeps the kernels that are called.
"""

FOR_SIZE = b"""\
/* Little time is spent here: for size, and without calls of a C library that nothing else here needs. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("Os", "no-tree-loop-distribute-patterns")
#endif
"""

FILES = {"Makefile": _MAKEFILE, "CMakeLists.txt": _CMAKE, "README.txt": _README}


def flags(target: str) -> dict[str, str]:
    """Compiler, archiver and options of a target."""
    if target == "generic":
        return {"cc": "cc", "ar": "ar", "cflags": ""}
    hard = target not in ("cortex-m0plus", "cortex-m3")
    option = f"-mcpu={target} -mthumb" + (" -mfloat-abi=hard -mfpu=auto" if hard else "")
    return {"cc": "arm-none-eabi-gcc", "ar": "arm-none-eabi-ar", "cflags": option}
