/* The slot in RAM, or two in flash: one holds the program that runs, the other takes the next. A slot of flash ends with a
 * record, written last: until then the program before it is the one that counts, whenever the power fails. */
#include "loader.h"

#include <stddef.h>
#include <string.h>

#include "board.h"
#include "frame.h"
#include "sha256.h"

enum { RECORD_MAGIC = 0x31524445 /* "EDR1" */, NONE = -1 };

typedef struct record {
    uint32_t magic, number, size;
    uint8_t digest[32];
    uint32_t crc; /* of the fields above */
} record;

static int active = NONE; /* the slot of flash that holds the program */
static bool erased;       /* the other one takes bytes */
static bool whole[2];     /* has a record, and the program that it names */

static int next(void) {
    return active == 0 ? 1 : 0;
}

static uint32_t room(void) {
    return board.flash->bytes - (uint32_t)sizeof(record);
}

const uint8_t *edged_slot(void) {
    return board.flash != NULL ? board.flash->slots[next()] : board.slot;
}

uint32_t edged_slot_bytes(void) {
    return board.flash != NULL ? room() : board.slot_bytes;
}

const uint8_t *edged_other_slot(void) {
    return board.flash != NULL ? board.flash->slots[1 - next()] : NULL;
}

/* The record of a slot, when it is one and its program is whole. */
static bool read_record(int which, record *found) {
    uint8_t digest[32];
    memcpy(found, board.flash->slots[which] + room(), sizeof *found);
    if (found->magic != RECORD_MAGIC || found->crc != edged_crc32(0, found, offsetof(record, crc)) || found->size > room()) {
        return false;
    }
    edged_sha256(board.flash->slots[which], found->size, digest);
    return memcmp(digest, found->digest, sizeof digest) == 0;
}

bool edged_held(bool spare, uint8_t digest[32]) {
    int which = spare ? next() : active;
    if (board.flash == NULL || which == NONE || !whole[which]) {
        return false;
    }
    memcpy(digest, board.flash->slots[which] + room() + offsetof(record, digest), 32);
    return true;
}

const edged_program *edged_slot_select(const uint8_t digest[32]) {
    uint8_t spare[32];
    if (!edged_held(true, spare) || memcmp(spare, digest, sizeof spare) != 0) {
        return NULL;
    }
    active = next();
    board_flush_code();
    return (const edged_program *)(const void *)board.flash->slots[active];
}

void edged_slot_none(void) {
    active = NONE;
}

static bool stands_in(const void *at, int which) {
    return (uintptr_t)at - (uintptr_t)board.flash->slots[which] < board.flash->bytes;
}

bool edged_linked_here(const edged_program *found) {
    int which = board.flash == NULL || stands_in(found, 0) ? 0 : 1;
    return board.flash == NULL
        || (stands_in((const void *)(uintptr_t)found->run, which) && stands_in((const void *)(uintptr_t)found->run_tapped, which)
            && stands_in((const void *)(uintptr_t)found->init, which) && stands_in((const void *)(uintptr_t)found->tensor, which)
            && stands_in(found->bytes, which));
}

bool edged_slot_erase(void) {
    whole[next()] = false;
    erased = board.flash == NULL || board.flash->erase(next());
    return erased;
}

bool edged_slot_write(uint32_t offset, const uint8_t *data, uint32_t size) {
    if (offset > edged_slot_bytes() || size > edged_slot_bytes() - offset) {
        return false;
    }
    if (board.flash == NULL) {
        memcpy(board.slot + offset, data, size);
        return true;
    }
    /* what came twice is there already */
    return erased && (memcmp(edged_slot() + offset, data, size) == 0 || board.flash->write(next(), offset, data, size));
}

const edged_program *edged_slot_program(uint32_t size, const uint8_t digest[32]) {
    uint8_t found[32];
    if (size > edged_slot_bytes()) {
        return NULL;
    }
    edged_sha256(edged_slot(), size, found);
    if (memcmp(found, digest, sizeof found) != 0) {
        return NULL;
    }
    board_flush_code();
    return (const edged_program *)(const void *)edged_slot();
}

bool edged_slot_commit(uint32_t size, const uint8_t digest[32]) {
    record found[2], made = {.magic = RECORD_MAGIC, .number = 1, .size = size};
    if (board.flash == NULL) {
        return true;
    }
    for (int i = 0; i < 2; i++) { /* above both: the spare one may be the newer, after a select */
        if (whole[i] && read_record(i, &found[i]) && (int32_t)(found[i].number + 1 - made.number) > 0) {
            made.number = found[i].number + 1;
        }
    }
    memcpy(made.digest, digest, sizeof made.digest);
    made.crc = edged_crc32(0, &made, offsetof(record, crc));
    if (!board.flash->write(next(), room(), (const uint8_t *)&made, sizeof made)) {
        return false;
    }
    active = next();
    whole[active] = true;
    erased = false;
    return true;
}

const edged_program *edged_slot_kept(uint32_t rank) {
    record found[2];
    if (board.flash == NULL) {
        return NULL;
    }
    whole[0] = read_record(0, &found[0]);
    whole[1] = read_record(1, &found[1]);
    int newest = !whole[0] || (whole[1] && (int32_t)(found[1].number - found[0].number) > 0) ? 1 : 0;
    int which = rank == 0 ? newest : 1 - newest;
    if (rank > 1 || !whole[which]) {
        return NULL;
    }
    active = which;
    board_flush_code();
    return (const edged_program *)(const void *)board.flash->slots[which];
}
