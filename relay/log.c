/*
 * log.c
 *		Log lines in the form of logfmt: time, level, stream, for some errors
 *		a problem slug, and a message in quotes.
 */
#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "buffer.h"

static const char *stream_name;
static bool show_details;

void
log_start(const char *stream, bool verbose)
{
	stream_name = stream;
	show_details = verbose;
}

/* Append a text in quotes, on one line */
static void
append_quoted(Buffer *line, const char *text)
{
	size_t		length;

	buffer_append(line, "\"", 1);
	for (length = 0; text[length] != '\0'; length++)
	{
		/* libpq ends its messages with a newline. */
		if (text[length] == '\n' && text[length + 1] == '\0')
			break;
		if (text[length] == '\n')
			buffer_text(line, "\\n");
		else
		{
			if (text[length] == '"' || text[length] == '\\')
				buffer_append(line, "\\", 1);
			buffer_append(line, text + length, 1);
		}
	}
	buffer_append(line, "\"", 1);
}

/* Write one line, whole, so that no other writer's stands within it */
static void
__attribute__((format(printf, 3, 0)))
write_line(LogLevel level, const char *problem, const char *format, va_list arguments)
{
	static const char *const level_names[] = {"detail", "note", "warning", "error"};
	Buffer		line = {0};
	char		message[4096];
	char		clock[32];
	struct timespec now;
	struct tm	parts;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &parts);
	strftime(clock, sizeof(clock), "%Y-%m-%dT%H:%M:%S", &parts);
	vsnprintf(message, sizeof(message), format, arguments);

	buffer_printf(&line, "time=%s.%03ldZ level=%s", clock, now.tv_nsec / 1000000, level_names[level]);
	if (stream_name != NULL)
		buffer_printf(&line, " stream=%s", stream_name);
	if (problem != NULL)
		buffer_printf(&line, " problem=%s", problem);
	buffer_text(&line, " message=");
	append_quoted(&line, message);
	buffer_append(&line, "\n", 1);
	fwrite(line.data, 1, line.length, stderr);
	buffer_free(&line);
}

void
log_line(LogLevel level, const char *format,...)
{
	va_list		arguments;

	if (level == LOG_DETAIL && !show_details)
		return;
	va_start(arguments, format);
	write_line(level, NULL, format, arguments);
	va_end(arguments);
}

/* An error that has a slug to be looked up in doc/relay.md */
void
log_problem(const char *problem, const char *format,...)
{
	va_list		arguments;

	va_start(arguments, format);
	write_line(LOG_ERROR, problem, format, arguments);
	va_end(arguments);
}
