/* SHA-256 of a stretch of memory (FIPS 180-4). */
#ifndef EDGED_SHA256_H
#define EDGED_SHA256_H

#include <stddef.h>
#include <stdint.h>

void edged_sha256(const void *data, size_t size, uint8_t digest[32]);

#endif
