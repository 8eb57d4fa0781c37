/* MLPerf Tiny's serial text protocol, beside the frames: its public host script can drive a board that holds a program. */
#ifndef EDGED_TEXT_H
#define EDGED_TEXT_H

#include <stdbool.h>

#include "program.h"

/* Whether these bytes, which a '%' ended, are a line of text. Never true for a frame: its second byte is the version, 1. */
bool edged_is_text(const uint8_t *bytes, uint32_t size);

/* Does one command (ended by a zero byte, without its '%') and answers, "m-ready" last. `program` may be NULL. */
void edged_text(const char *command, const edged_program *program, void *state);

#endif
