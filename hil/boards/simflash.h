/* RAM that behaves like flash: only erased bytes are written. */
#ifndef EDGED_SIMFLASH_H
#define EDGED_SIMFLASH_H

#include <stdbool.h>
#include <stdint.h>

bool simflash_erase(const uint8_t *slot, uint32_t bytes);
bool simflash_write(const uint8_t *slot, uint32_t offset, const uint8_t *data, uint32_t size);

#endif
