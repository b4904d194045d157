/*
 * log.h
 *		What a program tells its operator: one line per happening, on stderr, of
 *		key=value pairs (logfmt) or an object of JSON.
 */
#ifndef LIB_LOG_H
#define LIB_LOG_H

#include <stdbool.h>

#include "lib/buffer.h"

typedef enum LogLevel
{
	LOG_DETAIL,					/* with --verbose only */
	LOG_NOTE,
	LOG_WARNING,
	LOG_ERROR,
} LogLevel;

typedef enum LogFormat
{
	LOG_LOGFMT,
	LOG_JSON,
} LogFormat;

extern void log_in_format(LogFormat format);
extern LogFormat log_format(void);
extern void log_start(const char *field, const char *subject, bool verbose);
extern void log_secret(const char *text);
extern bool log_has_secrets(void);
extern void log_anew(void);
extern void log_next_try(void);
extern void log_success(void);
extern bool log_said_any(void);
extern void log_text(Buffer *line, const char *text, const char *escaped);
extern void log_line(LogLevel level, const char *format,...) __attribute__((format(printf, 2, 3)));
extern void log_problem(const char *problem, const char *format,...) __attribute__((format(printf, 2, 3)));

#endif							/* LIB_LOG_H */
