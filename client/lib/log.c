/*
 * log.c
 *		Log lines: time, level, what the program works on, for some errors a problem
 *		slug, and a message.
 */
#include "lib/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "lib/buffer.h"
#include "lib/repetition.h"

static LogFormat line_format = LOG_LOGFMT;
static const char *subject_field;
static const char *subject_name;
static bool show_details;
static bool said_any;			/* since log_next_try() */
static char **secrets;
static int	secret_count;

void
log_in_format(LogFormat format)
{
	line_format = format;
}

LogFormat
log_format(void)
{
	return line_format;
}

/* From now on each line says what the program works on: field=subject */
void
log_start(const char *field, const char *subject, bool verbose)
{
	subject_field = field;
	subject_name = subject;
	show_details = verbose;
}

/* Have no message show that text */
void
log_secret(const char *text)
{
	/* Of less than that there would be too much elsewhere. */
	if (text == NULL || strlen(text) < 3)
		return;
	for (int i = 0; i < secret_count; i++)
		if (strcmp(secrets[i], text) == 0)
			return;
	secrets = reallocate(secrets, (size_t) (secret_count + 1) * sizeof(char *));
	secrets[secret_count++] = copy_string(text);
}

bool
log_has_secrets(void)
{
	return secret_count > 0;
}

/* Does a secret begin there? Its length; 0 if none does */
static size_t
secret_length(const char *text)
{
	for (int i = 0; i < secret_count; i++)
		if (strncmp(text, secrets[i], strlen(secrets[i])) == 0)
			return strlen(secrets[i]);
	return 0;
}

/*
 * Append a text for a person: on one line, without secrets, and with nothing
 * that directs a terminal. Characters of that list get a backslash.
 */
void
log_text(Buffer *line, const char *text, const char *escaped)
{
	while (*text != '\0')
	{
		size_t		secret = secret_length(text);
		size_t		length = printable_length(text);

		if (secret > 0)
			buffer_text(line, "***");
		else if (*text == '\n')
			buffer_text(line, text[1] != '\0' ? "\\n" : "");	/* libpq's messages end
																 * with one */
		else if (*text == '\t')
			buffer_text(line, " ");
		else if (length == 0)
			buffer_printf(line, "\\x%02x", (unsigned char) *text);
		else
		{
			if (strchr(escaped, *text) != NULL)
				buffer_text(line, "\\");
			buffer_append(line, text, length);
		}
		text += secret > 0 ? secret : length > 0 ? length : 1;
	}
}

/* The number in Unicode of a character of up to three bytes, as all are that cannot be printed */
static unsigned int
code_point(const char *text, size_t length)
{
	const unsigned char *bytes = (const unsigned char *) text;

	if (length == 1)
		return bytes[0];
	if (length == 2)
		return (bytes[0] & 0x1fu) << 6 | (bytes[1] & 0x3fu);
	return (bytes[0] & 0x0fu) << 12 | (bytes[1] & 0x3fu) << 6 | (bytes[2] & 0x3fu);
}

/* Append a text, without secrets, as a string of JSON; a byte that is no UTF-8 becomes U+FFFD */
static void
append_json(Buffer *line, const char *text)
{
	buffer_text(line, "\"");
	while (*text != '\0')
	{
		size_t		secret = secret_length(text);
		size_t		length = character_length(text);

		if (secret > 0)
			buffer_text(line, "***");
		else if (*text == '\n' && text[1] == '\0')
			break;				/* libpq's messages end with one */
		else if (length == 0)
			buffer_text(line, "\xef\xbf\xbd");
		else if (printable_length(text) == 0)
			buffer_printf(line, "\\u%04x", code_point(text, length));
		else
		{
			if (*text == '"' || *text == '\\')
				buffer_text(line, "\\");
			buffer_append(line, text, length);
		}
		text += secret > 0 ? secret : length > 0 ? length : 1;
	}
	buffer_text(line, "\"");
}

/* Append name and value; in logfmt a value stands in quotes where it has to, or is to */
static void
append_field(Buffer *line, const char *name, const char *value, bool in_quotes)
{
	if (line_format == LOG_JSON)
	{
		buffer_printf(line, "%s\"%s\":", line->length > 0 ? "," : "{", name);
		append_json(line, value);
		return;
	}
	for (const char *c = value; *c != '\0'; c++)
		in_quotes = in_quotes || *c <= ' ' || strchr("\"=\\", *c) != NULL;
	buffer_printf(line, "%s%s=%s", line->length > 0 ? " " : "", name, in_quotes ? "\"" : "");
	log_text(line, value, "\"\\");
	buffer_text(line, in_quotes ? "\"" : "");
}

/*
 * Was that said already? A warning may be one of many, which differ in a number;
 * an error is what a program tries again after. Whoever wants details has all.
 */
static bool
is_repetition(LogLevel level, const char *message)
{
	return level >= LOG_WARNING && !show_details && repetition_of(message, level == LOG_ERROR);
}

/* Somebody wants to hear how it is now, said before or not */
void
log_anew(void)
{
	repetition_forget();
}

/* Something is tried again: it says why it fails if that is news */
void
log_next_try(void)
{
	repetition_next_try();
	said_any = false;
}

/* It succeeds; to be told once or more */
void
log_success(void)
{
	repetition_success();
}

/* Has the try said anything? */
bool
log_said_any(void)
{
	return said_any;
}

/* Write one line, whole, so that no other writer's stands within it */
static void
__attribute__((format(printf, 3, 0)))
write_line(LogLevel level, const char *problem, const char *format, va_list arguments)
{
	static const char *const level_names[] = {"detail", "note", "warning", "error"};
	Buffer		line = {0};
	char		message[4096];
	char		seconds[32];
	char		clock[48];
	struct timespec now;
	struct tm	parts;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &parts);
	strftime(seconds, sizeof(seconds), "%Y-%m-%dT%H:%M:%S", &parts);
	snprintf(clock, sizeof(clock), "%s.%03ldZ", seconds, now.tv_nsec / 1000000);
	vsnprintf(message, sizeof(message), format, arguments);
	if (is_repetition(level, message))
		return;
	said_any = true;

	append_field(&line, "time", clock, false);
	append_field(&line, "level", level_names[level], false);
	if (subject_name != NULL)
		append_field(&line, subject_field, subject_name, false);
	if (problem != NULL)
		append_field(&line, "problem", problem, false);
	append_field(&line, "message", message, true);
	buffer_text(&line, line_format == LOG_JSON ? "}\n" : "\n");
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

/* An error that has a slug, to be looked up in the documentation */
void
log_problem(const char *problem, const char *format,...)
{
	va_list		arguments;

	va_start(arguments, format);
	write_line(LOG_ERROR, problem, format, arguments);
	va_end(arguments);
}
