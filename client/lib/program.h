/*
 * program.h
 *		Which program is that? Its main.c says so.
 */
#ifndef LIB_PROGRAM_H
#define LIB_PROGRAM_H

extern const char *const program_name;
extern const char *const program_noun;	/* what messages call it */

#endif							/* LIB_PROGRAM_H */
