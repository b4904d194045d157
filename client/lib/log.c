/*
 * log.c
 *		Log lines in the form of logfmt: time, level, what the program works on,
 *		for some errors a problem slug, and a message in quotes.
 */
#include "lib/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "lib/buffer.h"

static const char *subject_field;
static const char *subject_name;
static bool show_details;
static char **secrets;
static int	secret_count;

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
	if (subject_name != NULL)
		buffer_printf(&line, " %s=%s", subject_field, subject_name);
	if (problem != NULL)
		buffer_printf(&line, " problem=%s", problem);
	buffer_text(&line, " message=\"");
	log_text(&line, message, "\"\\");
	buffer_text(&line, "\"\n");
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
