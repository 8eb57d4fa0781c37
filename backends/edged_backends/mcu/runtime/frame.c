/* COBS and CRC-32; see frame.h. */
#include "frame.h"

static const uint32_t NIBBLES[16] = {0x00000000u, 0x1DB71064u, 0x3B6E20C8u, 0x26D930ACu, 0x76DC4190u, 0x6B6B51F4u,
                                     0x4DB26158u, 0x5005713Cu, 0xEDB88320u, 0xF00F9344u, 0xD6D6A3E8u, 0xCB61B38Cu,
                                     0x9B64C2B0u, 0x86D3D2D4u, 0xA00AE278u, 0xBDBDF21Cu};

uint32_t edged_crc32(uint32_t crc, const void *data, size_t size) {
    const uint8_t *bytes = data;
    crc = ~crc;
    for (size_t i = 0; i < size; i++) {
        crc ^= bytes[i];
        crc = crc >> 4 ^ NIBBLES[crc & 15u];
        crc = crc >> 4 ^ NIBBLES[crc & 15u];
    }
    return ~crc;
}

int32_t edged_unstuff(uint8_t *data, size_t size) {
    size_t from = 0, to = 0;
    while (from < size) {
        size_t code = data[from];
        if (code == 0 || from + code > size) {
            return -1;
        }
        for (size_t i = 1; i < code; i++) {
            data[to++] = data[from + i];
        }
        from += code;
        if (code < 255 && from < size) {
            data[to++] = 0;
        }
    }
    return (int32_t)to;
}

int32_t edged_open_frame(uint8_t *data, size_t size) {
    int32_t found = edged_unstuff(data, size);
    if (found < 4) {
        return -1;
    }
    size_t content = (size_t)found - 4;
    uint32_t crc = edged_crc32(0, data, content);
    for (size_t i = 0; i < 4; i++) {
        if (data[content + i] != (uint8_t)(crc >> 8 * i)) {
            return -1;
        }
    }
    return (int32_t)content;
}

void edged_send_frame(uint8_t *content, size_t size, void (*put)(uint8_t byte)) {
    uint32_t crc = edged_crc32(0, content, size);
    for (size_t i = 0; i < 4; i++) {
        content[size++] = (uint8_t)(crc >> 8 * i);
    }
    size_t at = 0;
    for (;;) {
        size_t run = 0;
        while (at + run < size && content[at + run] != 0 && run < 254) {
            run++;
        }
        put((uint8_t)(run + 1));
        for (size_t i = 0; i < run; i++) {
            put(content[at + i]);
        }
        at += run;
        if (run < 254 && at < size) {
            at++; /* the zero that the code stands for */
        } else if (at >= size) {
            break;
        }
    }
    put(0);
}
