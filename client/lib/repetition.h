/*
 * repetition.h
 *		Lines of the log that say again what was said: whoever tries something
 *		again and again says once why it fails, then once a minute, or when that
 *		changes.
 */
#ifndef LIB_REPETITION_H
#define LIB_REPETITION_H

#include <stdbool.h>

extern void repetition_next_try(void);
extern bool repetition_of(const char *message, bool but_for_numbers);
extern void repetition_forget(void);
extern void repetition_success(void);

#endif							/* LIB_REPETITION_H */
