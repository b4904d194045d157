/*
 * progress.h
 *		How far something long has come, as people read it.
 */
#ifndef LIB_PROGRESS_H
#define LIB_PROGRESS_H

#include <stdint.h>

#include "lib/buffer.h"

extern void append_count(Buffer *text, int64_t count);
extern void append_time_left(Buffer *text, int64_t done, int64_t left, int64_t begun_at);

#endif							/* LIB_PROGRESS_H */
