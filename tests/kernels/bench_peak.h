/* Multiply-accumulates per second that one core reaches from registers; 1e9 where no such loop is known. */
#ifndef EDGED_BENCH_PEAK_H
#define EDGED_BENCH_PEAK_H

#include <stdint.h>

#include "abi.h"

double bench_peak(int s8, uint32_t arch);

#endif
