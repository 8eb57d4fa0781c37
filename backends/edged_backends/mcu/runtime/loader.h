/* Where programs are put, and found again after a reset. */
#ifndef EDGED_LOADER_H
#define EDGED_LOADER_H

#include <stdbool.h>
#include <stdint.h>

#include "program.h"

/* Where the next program goes, and how many bytes it may have. */
const uint8_t *edged_slot(void);
uint32_t edged_slot_bytes(void);

/* The other slot of a board with flash, which holds what is kept over a reset; NULL on boards without. */
const uint8_t *edged_other_slot(void);

/* SHA-256 of the whole program that flash holds: the one that runs, or the `spare` one in the slot for the next. False when
 * there is none. */
bool edged_held(bool spare, uint8_t digest[32]);

/* Makes the slot ready to be written; false when the flash does not do it. */
bool edged_slot_erase(void);

/* False when the bytes lie outside, or flash that is not erased is in the way. */
bool edged_slot_write(uint32_t offset, const uint8_t *data, uint32_t size);

/* The program that has arrived, when its first `size` bytes have this SHA-256; NULL when they have not. */
const edged_program *edged_slot_program(uint32_t size, const uint8_t digest[32]);

/* The program in the slot is the one from now on, also after a reset: in flash, one record makes it so. False when that
 * could not be written. */
bool edged_slot_commit(uint32_t size, const uint8_t digest[32]);

/* The spare program, when it is this one: it runs until the next reset, and nothing is erased for that. NULL when it is not. */
const edged_program *edged_slot_select(const uint8_t digest[32]);

/* What flash holds after a reset: the `rank`th newest whole program, from 0; NULL when there is none. */
const edged_program *edged_slot_kept(uint32_t rank);

/* None of those that flash holds can run here. */
void edged_slot_none(void);

/* Was the program linked to stand there, in flash? One for the other slot would run that one's code. */
bool edged_linked_here(const edged_program *found);

#endif
