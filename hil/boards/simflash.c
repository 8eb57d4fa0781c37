/* Flash for boards in QEMU that have none that can be written: RAM that behaves so. It keeps its bytes over a reset, not when the
 * power goes. A byte is written once after each erase: stricter than flash, which lets more bits become 0. */
#include "simflash.h"

#include <string.h>

bool simflash_erase(const uint8_t *slot, uint32_t bytes) {
    memset((void *)(uintptr_t)slot, 0xFF, bytes);
    return true;
}

bool simflash_write(const uint8_t *slot, uint32_t offset, const uint8_t *data, uint32_t size) {
    uint8_t *to = (uint8_t *)(uintptr_t)slot + offset;
    for (uint32_t i = 0; i < size; i++) {
        if (to[i] != 0xFF) {
            return false;
        }
    }
    memcpy(to, data, size);
    return true;
}
