/* The firmware's main loop: one request after another, each answered at once; messages.py is the other half.
 *
 * Requests may arrive twice. WRITE and READ name their offset; a RUN with the sequence number of the last one is answered
 * with that one's result. All bounds are checked here, so no frame, however made, writes outside of the slot and the
 * program's inputs. */
#include <stdbool.h>
#include <string.h>

#include "board.h"
#include "frame.h"
#include "loader.h"
#include "program.h"
#include "text.h"

/* The versions of the link that this firmware speaks. */
#ifndef EDGED_LINK_OLDEST
#define EDGED_LINK_OLDEST 1
#define EDGED_LINK_NEWEST 1
#endif

enum { FIRMWARE = 1, TAPS = 250, RING = 8192, FRAME_BYTES = 1024, WINDOW = 4, HEADER = 8, SLOT_AREA = 0xFFFF };
enum { IDENTIFY = 1, WRITE = 2, SEAL = 3, RUN = 4, READ = 5, RESET = 6, STATS = 7, ERASE = 8, REPLY = 0x80, REFUSED = 0x7F, HELLO = 0xFE };
enum { BAD_VERSION = 1, BAD_KIND, BAD_BOOT, BAD_RANGE, BAD_DIGEST, BAD_PROGRAM, BAD_INPUTS, BAD_OTHER };

/* A program that was linked into the firmware is there from the start, until another one is loaded. */
extern const edged_program edged_program_descriptor __attribute__((weak));

static volatile uint8_t ring[RING];
static volatile uint32_t ring_in, ring_out;
static uint8_t frame[FRAME_BYTES + 64];
static uint8_t reply[HEADER + FRAME_BYTES + 64];
static uint32_t held, damaged;
static bool skipping;
static const edged_program *program;
static uint8_t running[32]; /* its SHA-256; zeros of the one that was linked into the firmware */
static uint8_t *state;
static uint8_t ran[12];
static bool ran_any;
static uint16_t ran_seq;
static uint32_t began, ends[TAPS]; /* of the steps of the last run that was tapped */
static uint8_t version = EDGED_LINK_NEWEST; /* of the last request */

void edged_received(uint8_t byte) {
    uint32_t next = (ring_in + 1) % RING;
    if (next != ring_out) { /* a full ring loses the byte; the frame's CRC tells */
        ring[ring_in] = byte;
        ring_in = next;
    }
}

static uint32_t get32(const uint8_t *at) {
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static uint32_t get16(const uint8_t *at) {
    return (uint32_t)at[0] | (uint32_t)at[1] << 8;
}

static uint8_t *put32(uint8_t *to, uint32_t value) {
    for (unsigned i = 0; i < 4; i++) {
        to[i] = (uint8_t)(value >> 8 * i);
    }
    return to + 4;
}

static void answer(uint8_t kind, uint32_t seq, size_t body) {
    reply[0] = version;
    reply[1] = kind;
    reply[2] = (uint8_t)seq;
    reply[3] = (uint8_t)(seq >> 8);
    put32(reply + 4, board_life.boot);
    edged_send_frame(reply, HEADER + body, board_put);
}

/* What the board says of itself (messages.py, IDENTITY); its size. The two versions stand first in every version. */
static size_t identity(uint8_t *to) {
    uint8_t *at = to;
    *at++ = EDGED_LINK_OLDEST;
    *at++ = EDGED_LINK_NEWEST;
    memcpy(at, board.name, 16);
    memcpy(at + 16, board.target, 16);
    at = put32(at + 32, board_life.boot);
    at = put32(at, board.clock_hz);
    at = put32(at, (uint32_t)(uintptr_t)edged_slot());
    at = put32(at, edged_slot_bytes());
    at = put32(at, (uint32_t)(uintptr_t)edged_other_slot());
    at = put32(at, board.arena_bytes);
    at = put32(at, FIRMWARE);
    *at++ = (uint8_t)(FRAME_BYTES & 255);
    *at++ = FRAME_BYTES >> 8;
    *at++ = WINDOW;
    *at++ = (uint8_t)board_life.cause;
    at = put32(at, board_life.pc);
    at = put32(at, board_life.lr);
    at = put32(at, board_life.reason);
    at = put32(at, damaged);
    if (program != NULL) {
        memcpy(at, program->digest, 32);
    } else {
        memset(at, 0, 32);
    }
    memset(at + 32, 0, 64);
    if (program != NULL) {
        memcpy(at + 32, running, 32);
    }
    edged_held(true, at + 64);
    return (size_t)(at + 96 - to);
}

static uint32_t tensors_crc(bool inputs) {
    uint32_t crc = 0, count = inputs ? program->inputs : program->outputs, first = inputs ? 0 : program->inputs;
    for (uint32_t i = 0; i < count; i++) {
        int which = inputs ? (int)i : -1 - (int)i;
        crc = edged_crc32(crc, program->tensor(board.arena, which), program->bytes[first + i]);
    }
    return crc;
}

static bool within(uint32_t offset, uint32_t size, uint32_t room) {
    return offset <= room && size <= room - offset;
}

static int take_write(const uint8_t *body, uint32_t size) {
    if (size < 6) {
        return BAD_RANGE;
    }
    uint32_t area = get16(body), offset = get32(body + 2), count = size - 6;
    if (area == SLOT_AREA) {
        if (board.flash == NULL) {
            program = NULL; /* whatever the slot held, it is not whole any more */
        }
        return edged_slot_write(offset, body + 6, count) ? 0 : BAD_RANGE;
    }
    if (program == NULL) {
        return BAD_PROGRAM;
    }
    if (area >= program->inputs || !within(offset, count, program->bytes[area])) {
        return BAD_RANGE;
    }
    ran_any = false; /* bytes on a line keep their order: no repeated RUN can come after this */
    memcpy((uint8_t *)program->tensor(board.arena, (int)area) + offset, body + 6, count);
    return 0;
}

static uint32_t rounded(uint32_t arena) {
    return (arena + 15u) & ~15u;
}

/* Is it a program, and is there room for what it needs? */
static bool fits(const edged_program *found) {
    return found->magic == EDGED_PROGRAM_MAGIC && found->arena_bytes <= board.arena_bytes
        && rounded(found->arena_bytes) <= board.arena_bytes
        && found->state_bytes <= board.arena_bytes - rounded(found->arena_bytes);
}

/* The same of one in a slot: was it linked to stand there, too? */
static bool fits_slot(const edged_program *found) {
    return fits(found) && edged_linked_here(found);
}

/* Makes a program that fits the one that runs. */
static void adopt(const edged_program *found) {
    state = board.arena + rounded(found->arena_bytes);
    found->init(state);
    program = found;
}

/* After a reset: what flash holds, else what was linked into the firmware. */
static void adopt_kept(void) {
    for (uint32_t rank = 0; program == NULL && rank < 2; rank++) {
        const edged_program *found = edged_slot_kept(rank);
        if (found != NULL && fits_slot(found)) {
            adopt(found);
            edged_held(false, running);
        }
    }
    if (program == NULL) {
        edged_slot_none();
    }
    if (program == NULL && &edged_program_descriptor != NULL && fits(&edged_program_descriptor)) {
        adopt(&edged_program_descriptor);
    }
}

static int take_seal(const uint8_t *body, uint32_t size) {
    ran_any = false;
    if (size != 36 || get32(body) > edged_slot_bytes()) {
        return BAD_RANGE;
    }
    if (program != NULL && memcmp(running, body + 4, sizeof running) == 0) {
        return 0; /* it is the one already */
    }
    const edged_program *before = board.flash != NULL ? program : NULL, *found = edged_slot_select(body + 4);
    program = before;
    if (found != NULL) {
        adopt(found); /* it fitted when it was committed */
        memcpy(running, body + 4, sizeof running);
        return 0;
    }
    found = edged_slot_program(get32(body), body + 4);
    if (found == NULL) {
        return BAD_DIGEST;
    }
    if (get32(body) < sizeof *found || !fits_slot(found)) {
        return BAD_PROGRAM;
    }
    adopt(found); /* before it counts: what crashes here never comes again */
    if (!edged_slot_commit(get32(body), body + 4)) {
        program = NULL;
        if (before != NULL) {
            adopt(before);
        }
        return BAD_PROGRAM;
    }
    memcpy(running, body + 4, sizeof running);
    return 0;
}

/* After each step: the watchdog waits for a step, however long the run. */
static void watch(uint32_t step) {
    (void)step;
    board_watch();
}

static void tap(uint32_t step) {
    ends[step < TAPS ? step : TAPS - 1] = board_ticks() - began;
    board_watch();
}

/* `tapped`: notes when each step ended. */
static int take_run(const uint8_t *body, uint32_t size, uint32_t seq, bool tapped) {
    if (ran_any && ran_seq == seq) {
        return 0;
    }
    if (program == NULL) {
        return BAD_PROGRAM;
    }
    if (size != 8 || get32(body + 4) != get32(running)) {
        return BAD_OTHER;
    }
    if (get32(body) != tensors_crc(true)) {
        return BAD_INPUTS;
    }
    began = board_ticks();
    int status = program->run_tapped(board.arena, state, tapped ? tap : watch);
    uint32_t took = board_ticks() - began;
    put32(put32(put32(ran, (uint32_t)status), took), tensors_crc(false));
    ran_any = true;
    ran_seq = (uint16_t)seq;
    return 0;
}

/* Ticks from the begin to the end of each step; bytes. Steps beyond TAPS count as one with the last. */
static size_t put_ends(uint8_t *to) {
    uint32_t count = program == NULL ? 0 : program->steps < TAPS ? program->steps : TAPS;
    for (uint32_t i = 0; i < count; i++) {
        to = put32(to, ends[i]);
    }
    return 4 * count;
}

static int take_read(const uint8_t *body, uint32_t size, size_t *found) {
    if (program == NULL) {
        return BAD_PROGRAM;
    }
    if (size != 8) {
        return BAD_RANGE;
    }
    uint32_t which = get16(body), offset = get32(body + 2), count = get16(body + 6);
    if (which >= program->outputs || count > FRAME_BYTES || !within(offset, count, program->bytes[program->inputs + which])) {
        return BAD_RANGE;
    }
    memcpy(reply + HEADER, (uint8_t *)program->tensor(board.arena, -1 - (int)which) + offset, count);
    *found = count;
    return 0;
}

/* Does one request. 0, or why it is refused; `*found` bytes of the reply's body. */
static int take(uint8_t kind, uint32_t seq, const uint8_t *body, uint32_t size, size_t *found) {
    switch (kind) {
    case IDENTIFY:
        *found = identity(reply + HEADER);
        return 0;
    case WRITE:
        return take_write(body, size);
    case SEAL:
        return take_seal(body, size);
    case RUN:
    case STATS: {
        int refused = take_run(body, size, seq, kind == STATS);
        memcpy(reply + HEADER, ran, sizeof ran);
        *found = sizeof ran + (kind == STATS ? put_ends(reply + HEADER + sizeof ran) : 0);
        return refused;
    }
    case READ:
        return take_read(body, size, found);
    case ERASE:
        return edged_slot_erase() ? 0 : BAD_RANGE;
    case RESET:
        return 0;
    default:
        return BAD_KIND;
    }
}

/* As `take`, but what was just done is not done again when its request comes twice: an erase takes seconds, and while it lasts
 * a host that waits asks again. */
static int take_once(uint8_t kind, uint32_t seq, const uint8_t *body, uint32_t size, size_t *found) {
    static uint8_t last_kind;
    static uint32_t last_seq;
    static int last_refused;
    if ((kind == ERASE || kind == SEAL) && kind == last_kind && seq == last_seq) {
        return last_refused;
    }
    last_refused = take(kind, seq, body, size, found);
    last_kind = kind;
    last_seq = seq;
    return last_refused;
}

static void request(uint32_t size) {
    if (size < HEADER) {
        return;
    }
    uint32_t seq = get16(frame + 2), boot = get32(frame + 4);
    uint8_t kind = frame[1];
    size_t found = 0;
    bool spoken = frame[0] >= EDGED_LINK_OLDEST && frame[0] <= EDGED_LINK_NEWEST;
    version = spoken ? frame[0] : EDGED_LINK_NEWEST;
    int refused = !spoken && kind != IDENTIFY ? BAD_VERSION : boot != 0 && boot != board_life.boot ? BAD_BOOT : 0;
    if (!refused) {
        refused = take_once(kind, seq, frame + HEADER, size - HEADER, &found);
    }
    if (refused) {
        reply[HEADER] = (uint8_t)refused;
        answer(REFUSED, seq, 1);
        return;
    }
    answer((uint8_t)(kind | REPLY), seq, found);
    if (kind == RESET) {
        board_life.cause = CAUSE_ASKED;
        board_reset();
    }
}

/* The whole line of text that a '%' ended, or false: it was a byte of a frame. */
static bool text_in(void) {
    if (skipping || !edged_is_text(frame, held)) {
        return false;
    }
    frame[held] = 0;
    held = 0;
    ran_any = false; /* it may run the program: a repeated RUN must not get the old result for new tensors */
    edged_text((const char *)frame, program, state);
    return true;
}

static void byte_in(uint8_t byte) {
    if (byte == '%' && held < sizeof frame && text_in()) {
        return;
    }
    if (byte != 0) {
        skipping = skipping || held == sizeof frame;
        if (!skipping) {
            frame[held++] = byte;
        }
        return;
    }
    int32_t size = skipping ? -1 : held == 0 ? 0 : edged_open_frame(frame, held);
    damaged += size < 0;
    if (size > 0) {
        request((uint32_t)size);
    }
    held = 0;
    skipping = false;
}

_Noreturn void edged_serve(void) {
    board_start();
    adopt_kept();
    board_put(0); /* ends what the reset may have cut off */
    answer(HELLO, 0, identity(reply + HEADER));
    for (;;) {
        board_watch();
        while (ring_out != ring_in) {
            board_watch();
            uint8_t byte = ring[ring_out];
            ring_out = (ring_out + 1) % RING;
            byte_in(byte);
        }
        board_mask(true); /* a byte that arrives from here on still ends the sleep */
        if (ring_out == ring_in) {
            board_sleep();
        }
        board_mask(false);
    }
}
