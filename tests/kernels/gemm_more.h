/* The gemm family's rarer ops. */
#ifndef EDGED_GEMM_MORE_H
#define EDGED_GEMM_MORE_H

#include "check.h"
#include "gemm_pack.h"

/* One random case of each. */
int check_gemm_more(check_ctx *ctx);

#endif
