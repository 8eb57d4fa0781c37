/* Frames on the serial line: COBS and CRC-32, the twin of frame.py. */
#ifndef EDGED_FRAME_H
#define EDGED_FRAME_H

#include <stddef.h>
#include <stdint.h>

/* Continues a CRC-32 (IEEE 802.3, as zlib); begin with 0. */
uint32_t edged_crc32(uint32_t crc, const void *data, size_t size);

/* Undoes COBS in place. The new size, or -1 where `data` was not made by it. */
int32_t edged_unstuff(uint8_t *data, size_t size);

/* Sends content + CRC as one frame, through `put`. `content` has room for 4 bytes more. */
void edged_send_frame(uint8_t *content, size_t size, void (*put)(uint8_t byte));

/* The content's size when `data` (without the zero byte at its end) is a whole frame, undone in place; -1 when not. */
int32_t edged_open_frame(uint8_t *data, size_t size);

#endif
