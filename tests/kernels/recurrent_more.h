/* The checks of the integer LSTM cells and of LSTM's basic kernel, a file of their own for its length. */
#ifndef EDGED_RECURRENT_MORE_H
#define EDGED_RECURRENT_MORE_H

#include "check.h"

int check_lstm_integer(check_ctx *ctx);
int check_lstm_s16(check_ctx *ctx);
int check_lstm_basic(check_ctx *ctx);

#endif
