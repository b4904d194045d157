/*
 * report.c
 *		What a program says of itself at one moment, read at a later one.
 */
#include "lib/report.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/program.h"
#include "lib/wait.h"

/* What has not answered for so long hangs; a program that has said nothing for so long, too. */
#define HANG_MS 10000

/* Seconds since 1970 */
double
wall_clock(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (double) now.tv_sec + (double) now.tv_nsec / 1e9;
}

/* Add a metric; its texts stay */
void
report_add(Report *report, const char *name, MetricType type, const char *help, double value)
{
	if (report->count == REPORT_METRICS)
		abort();
	report->metrics[report->count++] = (Metric)
	{
		.name = name,.type = type,.help = help,.value = value
	};
}

/* What waits for an answer in vain, a word; NULL: nothing does */
static const char *
hanging(const Report *report)
{
	int64_t		now = monotonic_ms();

	if (report->waits_since != 0 && now > report->waits_since + HANG_MS)
		return report->waits_for;
	return now > report->made_at + HANG_MS ? report->blocked_by : NULL;
}

/* The value of a metric now */
static double
value_now(const Report *report, const Metric *metric)
{
	double		age;

	if (strcmp(metric->name, METRIC_UP) == 0)
		return hanging(report) == NULL ? metric->value : 0;
	if (metric->type != METRIC_AGE || metric->value == 0)
		return metric->value;
	age = wall_clock() - metric->value;
	return age > 0 ? age : 0;
}

/* The value of the metric of that name now; 0: there is none */
double
report_value(const Report *report, const char *name)
{
	for (int i = 0; i < report->count; i++)
		if (strcmp(report->metrics[i].name, name) == 0)
			return value_now(report, &report->metrics[i]);
	return 0;
}

/* Why the program is not ready, a word; NULL: it is */
const char *
report_unready(const Report *report)
{
	if (report->trouble != NULL)
		return report->trouble;
	if (hanging(report) != NULL)
		return hanging(report);
	if (report->ready_lag > 0 && !report->catches_up && report_value(report, METRIC_LAG) > (double) report->ready_lag)
		return "lag";
	return NULL;
}

/* Append the value of a label */
static void
print_label(Buffer *text, const char *value)
{
	for (; *value != '\0'; value++)
	{
		if (*value == '\n')
		{
			buffer_text(text, "\\n");
			continue;
		}
		if (*value == '"' || *value == '\\')
			buffer_text(text, "\\");
		buffer_append(text, value, 1);
	}
}

/* Append all metrics in Prometheus' text format, each with a label */
void
report_print(const Report *report, const char *label, const char *subject, Buffer *text)
{
	for (int i = 0; i < report->count; i++)
	{
		const Metric *metric = &report->metrics[i];

		buffer_printf(text, "# HELP %s_%s %s\n# TYPE %s_%s %s\n%s_%s{%s=\"",
					  program_name, metric->name, metric->help,
					  program_name, metric->name, metric->type == METRIC_COUNTER ? "counter" : "gauge",
					  program_name, metric->name, label);
		print_label(text, subject);
		buffer_printf(text, "\"} %.17g\n", value_now(report, metric));
	}
}
