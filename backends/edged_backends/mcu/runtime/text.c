/* MLPerf Tiny's text protocol, as its runner speaks it (github.com/mlcommons/tiny, benchmark/api and benchmark/runner): a command
 * ends in '%', every answer is a line, the last one "m-ready". Performance mode: `timestamp` gives microseconds.
 *
 * Not a model's own code: `infer` takes the bytes of `db` as the inputs in order (or, of one int8 input, floats, which are
 * quantised here as ad01's files need it; the files of ic01 and vww01 are pixels from 0 to 255, of which 128 is taken), and
 * `results` prints the first output's values, or its bytes as signed integers where the program does not tell what they mean. */
#include "text.h"

#include <string.h>

#include "board.h"

static uint32_t expected, loaded;
static uint32_t width; /* bytes sent for one byte of the inputs: 1, or 4 for floats */
static uint8_t word[4];
static uint8_t flip; /* the bit by which a byte sent and a byte of the inputs differ */
static uint64_t elapsed; /* ticks; board_ticks wraps */
static uint32_t last_ticks;

static void say(const char *text) {
    while (*text) {
        board_put((uint8_t)*text++);
    }
}

static void say_number(uint64_t value) {
    char digits[21];
    unsigned at = sizeof digits - 1;
    digits[at] = 0;
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    say(digits + at);
}

static void say_count(const char *before, uint64_t value, const char *after) {
    say(before);
    say_number(value);
    say(after);
}

/* The number at `*at`, or `otherwise` where there is none; at most a million. */
static uint32_t number(const char **at, uint32_t otherwise) {
    while (**at == ' ') {
        ++*at;
    }
    uint32_t value = 0;
    bool any = false;
    for (; **at >= '0' && **at <= '9'; ++*at) {
        value = value > 100000 ? 1000000 : value * 10 + (uint32_t)(**at - '0');
        any = true;
    }
    return any ? value : otherwise;
}

/* Steps over `name` at `*at` when it stands there as a whole word. */
static bool is_word(const char **at, const char *name) {
    size_t size = strlen(name);
    if (strncmp(*at, name, size) != 0 || ((*at)[size] != 0 && (*at)[size] != ' ')) {
        return false;
    }
    *at += size;
    while (**at == ' ') {
        ++*at;
    }
    return true;
}

static int nibble(char digit) {
    return digit >= '0' && digit <= '9'   ? digit - '0'
           : digit >= 'a' && digit <= 'f' ? digit - 'a' + 10
           : digit >= 'A' && digit <= 'F' ? digit - 'A' + 10
                                          : -1;
}

static void count_ticks(void) {
    uint32_t now = board_ticks();
    elapsed += now - last_ticks;
    last_ticks = now;
}

static void timestamp(void) {
    count_ticks();
    uint64_t whole = elapsed / board.clock_hz, rest = elapsed % board.clock_hz;
    say_count("m-lap-us-", whole * 1000000 + rest * 1000000 / board.clock_hz, "\r\n");
}

static uint32_t inputs_bytes(const edged_program *program) {
    uint32_t sum = 0;
    for (uint32_t i = 0; i < program->inputs; i++) {
        sum += program->bytes[i];
    }
    return sum;
}

/* Where the bytes of `db` are kept (behind the program's arena and variables: a run overwrites its inputs), or NULL. */
static uint8_t *buffer(const edged_program *program, uint8_t *state) {
    uint32_t used = (uint32_t)(state - board.arena) + program->state_bytes;
    return inputs_bytes(program) > board.arena_bytes - used ? NULL : state + program->state_bytes;
}

static bool takes_floats(const edged_program *program) {
    return program->inputs == 1 && program->ends != NULL && program->ends[0].kind == EDGED_S8;
}

/* The benchmark's image models: their int8 inputs are sent as unsigned pixels. */
static bool takes_pixels(const edged_program *program) {
    return takes_floats(program) && (strcmp(program->name, "ic01") == 0 || strcmp(program->name, "vww01") == 0);
}

static bool announced(const edged_program *program) {
    return expected != 0 && expected == width * inputs_bytes(program) && (width == 1 || takes_floats(program));
}

/* A byte of `db`: as it is, or the last one of a float that becomes int8, saturated, halves away from zero. */
static void keep_byte(uint8_t byte, const edged_program *program, uint8_t *to) {
    if (width == 1) {
        to[loaded++] = byte ^ flip;
        return;
    }
    word[loaded % 4] = byte;
    if (++loaded % 4 == 0) {
        float value;
        memcpy(&value, word, 4);
        value = value / program->ends[0].scale + (float)program->ends[0].zero;
        value += value < 0 ? -0.5f : 0.5f;
        int32_t whole = value >= 127 ? 127 : value > -128 ? (int32_t)value : -128; /* NaN: -128 */
        to[loaded / 4 - 1] = (uint8_t)whole;
    }
}

static void load(const char *at, const edged_program *program, uint8_t *state) {
    uint8_t *to = buffer(program, state);
    loaded = 0;
    expected = number(&at, 0);
    width = takes_floats(program) && expected == 4 * inputs_bytes(program) ? 4 : 1;
    flip = takes_pixels(program) ? 0x80 : 0;
    if (to == NULL || expected != width * inputs_bytes(program)) {
        expected = 0;
        say_count("e-[The inputs have ", inputs_bytes(program), to ? " bytes]\r\n" : " bytes: no room for them]\r\n");
        return;
    }
    say_count("m-[Expecting ", expected, " bytes]\r\n");
}

static void take_bytes(const char *at, const edged_program *program, uint8_t *state) {
    if (is_word(&at, "load")) {
        load(at, program, state);
        return;
    }
    uint8_t *to = buffer(program, state);
    for (; at[0] && at[1]; at += 2) {
        int high = nibble(at[0]), low = nibble(at[1]);
        if (high < 0 || low < 0) {
            say("e-[db takes hexadecimal digits]\r\n");
            return;
        }
        if (to == NULL || loaded >= expected || !announced(program)) {
            say("e-[More bytes than db load announced]\r\n");
            return;
        }
        keep_byte((uint8_t)(high << 4 | low), program, to);
    }
    if (expected != 0 && loaded == expected) {
        say("m-load-done\r\n");
    }
}

/* With six digits behind the point; what is beyond 32 bits is cut to the largest value, NaN to 0. */
static void say_value(float value) {
    const float most = 4294967040.0f;
    if (value < 0) {
        say("-");
        value = -value;
    }
    value = value > most ? most : value >= 0 ? value : 0;
    uint32_t whole = (uint32_t)value, parts = (uint32_t)((value - (float)whole) * 1e6f + 0.5f);
    if (parts >= 1000000) {
        whole++;
        parts -= 1000000;
    }
    say_count("", whole, ".");
    for (uint32_t digit = 100000; digit; digit /= 10) {
        board_put((uint8_t)('0' + parts / digit % 10));
    }
}

static void say_result(const edged_end *end, const uint8_t *output, uint32_t i) {
    int number = end != NULL && end->kind == EDGED_U8 ? output[i] : (int8_t)output[i];
    if (end == NULL || end->kind == EDGED_OTHER) {
        say_count(number < 0 ? "-" : "", (uint64_t)(number < 0 ? -number : number), "");
    } else if (end->kind == EDGED_F32) {
        float value;
        memcpy(&value, output + 4 * i, 4);
        say_value(value);
    } else {
        say_value(end->scale * (float)(number - end->zero));
    }
}

static float value_of(const edged_end *end, uint8_t byte) {
    return end->scale * (float)((int8_t)byte - end->zero);
}

/* The benchmark's anomaly detector answers with one number, the mean squared error between what went in and what came out. */
static bool say_score(const edged_program *program, uint8_t *state) {
    const edged_end *ends = program->ends;
    bool paired = ends != NULL && program->inputs == 1 && ends[0].kind == EDGED_S8 && ends[1].kind == EDGED_S8;
    if (!paired || strcmp(program->name, "ad01") != 0 || program->bytes[0] != program->bytes[1] || !announced(program)) {
        return false;
    }
    const uint8_t *in = buffer(program, state), *out = program->tensor(board.arena, -1);
    float sum = 0;
    for (uint32_t i = 0; i < program->bytes[0]; i++) {
        float gap = value_of(ends, in[i]) - value_of(ends + 1, out[i]);
        sum += gap * gap;
    }
    say_value(sum / (float)program->bytes[0]);
    return true;
}

static void results(const edged_program *program, uint8_t *state) {
    const uint8_t *output = program->tensor(board.arena, -1);
    const edged_end *end = program->ends == NULL ? NULL : program->ends + program->inputs;
    uint32_t count = output == NULL ? 0 : program->bytes[program->inputs];
    count = end != NULL && end->kind == EDGED_F32 ? count / 4 : count;
    say("m-results-[");
    count = say_score(program, state) ? 0 : count;
    for (uint32_t i = 0; i < count; i++) {
        board_watch(); /* a slow line may take longer than the watchdog does */
        say(i ? "," : "");
        say_result(end, output, i);
    }
    say("]\r\n");
}

/* After each step. */
static void watch(uint32_t step) {
    (void)step;
    board_watch();
}

/* Runs on what `db` loaded, `times` times. */
static void repeat(uint32_t times, const edged_program *program, uint8_t *state) {
    for (; times; times--) {
        const uint8_t *from = buffer(program, state);
        for (uint32_t i = 0; i < program->inputs; from += program->bytes[i++]) {
            memcpy(program->tensor(board.arena, (int)i), from, program->bytes[i]);
        }
        board_watch();
        if (program->run_tapped(board.arena, state, watch) != 0) {
            say("e-[The program failed]\r\n");
            return;
        }
        count_ticks();
    }
}

static void infer(const char *at, const edged_program *program, uint8_t *state) {
    uint32_t times = number(&at, 1), warmups = number(&at, 10);
    if (times == 0 || !announced(program) || loaded != expected) {
        say(times ? "e-[No inputs: db load comes first]\r\n" : "e-[Inference iterations must be >0]\r\n");
        return;
    }
    say_count("m-warmup-start-", warmups, "\r\n");
    repeat(warmups, program, state);
    say("m-warmup-done\r\n");
    say_count("m-infer-start-", times, "\r\n");
    timestamp();
    repeat(times, program, state);
    timestamp();
    say("m-infer-done\r\n");
    results(program, state);
}

/* The runner finds its test script by the model: the program's name, or the beginning of its digest where it has none. */
static void profile(const edged_program *program) {
    static const char hex[] = "0123456789abcdef";
    bool named = program != NULL && program->name[0] != 0;
    say("m-profile-[edged]\r\nm-model-[");
    for (unsigned i = 0; named && i < sizeof program->name && program->name[i]; i++) {
        board_put((uint8_t)program->name[i]);
    }
    for (unsigned i = 0; program != NULL && !named && i < 8; i++) {
        board_put((uint8_t)hex[program->digest[i] >> 4]);
        board_put((uint8_t)hex[program->digest[i] & 15]);
    }
    say("]\r\n");
}

bool edged_is_text(const uint8_t *bytes, uint32_t size) {
    for (uint32_t i = 0; i < size; i++) {
        if ((bytes[i] < ' ' || bytes[i] > '~') && bytes[i] != '\r' && bytes[i] != '\n') {
            return false;
        }
    }
    return size != 0;
}

void edged_text(const char *command, const edged_program *program, void *state) {
    const char *at = command + strspn(command, "\r\n ");
    if (is_word(&at, "name")) {
        say("m-name-dut-["); /* the runner takes no other role */
        say(board.name);
        say("]\r\n");
    } else if (is_word(&at, "timestamp")) {
        timestamp();
    } else if (is_word(&at, "profile")) {
        profile(program);
    } else if (is_word(&at, "help")) {
        say("m-[name timestamp profile help db infer results]\r\n");
    } else if (program == NULL) {
        say("e-[No program is loaded, or no such command]\r\n");
    } else if (is_word(&at, "db")) {
        take_bytes(at, program, state);
    } else if (is_word(&at, "infer")) {
        infer(at, program, state);
    } else if (is_word(&at, "results")) {
        results(program, state);
    } else {
        say("e-[Unknown command]\r\n");
    }
    say("m-ready\r\n");
}
