/*
 * metrics_file.c
 *		A file in Prometheus' text format.
 */
#include "lib/metrics_file.h"

#include <errno.h>
#include <string.h>

#include "lib/buffer.h"
#include "lib/log.h"
#include "lib/program.h"
#include "lib/wait.h"

/* That the file cannot be written is said that often. */
#define COMPLAIN_MS 600000

static void
temporary_path(const MetricsFile *metrics, Buffer *path)
{
	buffer_printf(path, "%s.new", metrics->path);
}

/* Begin a new file; its path, label and subject are set */
void
metrics_file_begin(MetricsFile *metrics)
{
	Buffer		path = {0};

	temporary_path(metrics, &path);
	metrics->file = fopen(path.data, "w");
	buffer_free(&path);
}

/* Add a metric, with its help and type; the program's name begins its own */
void
metrics_file_add(const MetricsFile *metrics, const char *name, const char *type, const char *help, double value)
{
	if (metrics->file != NULL)
		fprintf(metrics->file, "# HELP %s_%s %s\n# TYPE %s_%s %s\n%s_%s{%s=\"%s\"} %.17g\n",
				program_name, name, help, program_name, name, type, program_name, name, metrics->label, metrics->subject, value);
}

/* Put it into its place; in the log, if that cannot be done */
void
metrics_file_end(MetricsFile *metrics)
{
	static int64_t complained_at = 0;
	Buffer		path = {0};
	bool		done;

	temporary_path(metrics, &path);
	done = metrics->file != NULL && fclose(metrics->file) == 0 && rename(path.data, metrics->path) == 0;
	metrics->file = NULL;
	buffer_free(&path);
	if (done)
		complained_at = 0;
	else if (complained_at == 0 || monotonic_ms() > complained_at + COMPLAIN_MS)
	{
		log_line(LOG_WARNING, "could not write metrics file \"%s\": %s", metrics->path, strerror(errno));
		complained_at = monotonic_ms();
	}
}
