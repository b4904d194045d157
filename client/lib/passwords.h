/*
 * passwords.h
 *		Passwords in the text of a connection string or URL, as they are spelled
 *		there: quoted, escaped or percent-encoded.
 */
#ifndef LIB_PASSWORDS_H
#define LIB_PASSWORDS_H

#include "lib/buffer.h"

extern void passwords_hide(const char *text);
extern void passwords_leave_out(Buffer *shown, const char *text);

#endif							/* LIB_PASSWORDS_H */
