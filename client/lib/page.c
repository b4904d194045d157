/*
 * page.c
 *		The page for a person.
 */
#include "lib/page.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/log.h"
#include "lib/program.h"
#include "lib/progress.h"

/* The height of a plot, whose width is a unit a step. */
#define PLOT_HEIGHT 100

/* Types of columns that are numbers: int8, int2, int4, numeric. */
static const Oid number_types[] = {20, 21, 23, 1700};

/* ---------------------------------------------------------------- text */

/* Append text as HTML */
static void
escape(Buffer *html, const char *text)
{
	for (; *text != '\0'; text++)
	{
		size_t		plain = strcspn(text, "&<>\"'");

		buffer_append(html, text, plain);
		text += plain;
		if (*text == '\0')
			return;
		buffer_printf(html, "&#%d;", *text);
	}
}

/* Append text of others: without secrets, control characters and markup */
void
page_text(Buffer *html, const char *text)
{
	Buffer		plain = {0};

	log_text(&plain, text, "");
	escape(html, plain.data != NULL ? plain.data : "");
	buffer_free(&plain);
}

/* Append a time in seconds in its two largest units */
static void
append_duration(Buffer *html, double seconds)
{
	static const struct
	{
		const char *unit;
		double		seconds;
		const char *below;
		double		below_seconds;
	}			units[] = {
		{"d", 86400, "h", 3600},
		{"h", 3600, "min", 60},
		{"min", 60, "s", 1},
	};

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
	{
		int			rest = (int) (fmod(seconds, units[i].seconds) / units[i].below_seconds);

		if (seconds < units[i].seconds)
			continue;
		buffer_printf(html, "%d&nbsp;%s", (int) (seconds / units[i].seconds), units[i].unit);
		if (rest > 0)
			buffer_printf(html, " %d&nbsp;%s", rest, units[i].below);
		return;
	}
	buffer_printf(html, seconds < 9.95 && seconds != floor(seconds) ? "%.1f&nbsp;s" : "%.0f&nbsp;s", seconds);
}

static void
append_bytes(Buffer *html, double bytes)
{
	static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
	size_t		unit = 0;

	while (bytes >= 999.5 && unit + 1 < sizeof(units) / sizeof(units[0]))
	{
		bytes /= 1000;
		unit++;
	}
	buffer_printf(html, unit > 0 && bytes < 99.95 ? "%.1f&nbsp;%s" : "%.0f&nbsp;%s", bytes, units[unit]);
}

/* Append a rate, which may be small */
static void
append_rate(Buffer *html, double rate)
{
	if (rate == 0 || rate >= 9.95)
		append_count(html, (int64_t) (rate + 0.5));
	else
		buffer_printf(html, rate < 0.095 ? "%.2f" : "%.1f", rate);
	buffer_text(html, "/s");
}

/* ---------------------------------------------------------------- details */

void
page_facts_begin(Buffer *html)
{
	buffer_text(html, "<section><dl class=\"facts\">");
}

/* A fact: what it is called, and what it is */
void
page_fact(Buffer *html, const char *name, const char *format,...)
{
	char		text[2000];
	va_list		arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	buffer_text(html, "<dt>");
	page_text(html, name);
	buffer_text(html, "</dt><dd>");
	page_text(html, text);
	buffer_text(html, "</dd>\n");
}

void
page_facts_end(Buffer *html)
{
	buffer_text(html, "</dl></section>\n");
}

static bool
is_number(const PGresult *rows, int column)
{
	for (size_t i = 0; i < sizeof(number_types) / sizeof(number_types[0]); i++)
		if (PQftype(rows, column) == number_types[i])
			return true;
	return false;
}

/* One cell; on a telephone its row is a list, which names it */
static void
print_cell(Buffer *html, const PGresult *rows, int row, int column)
{
	buffer_printf(html, "<td%s data-name=\"", is_number(rows, column) ? " class=\"n\"" : "");
	page_text(html, PQfname(rows, column));
	buffer_text(html, "\"><bdi>");
	page_text(html, PQgetvalue(rows, row, column));
	buffer_text(html, "</bdi></td>");
}

/* A table of rows, whose columns have names for people; if there are none, that is said */
void
page_table(Buffer *html, const char *title, const char *none, const PGresult *rows)
{
	buffer_text(html, "<section><h2>");
	page_text(html, title);
	buffer_text(html, "</h2>");
	if (PQntuples(rows) == 0)
	{
		buffer_printf(html, "<p class=\"faint\">%s</p></section>\n", none);
		return;
	}
	buffer_text(html, "<div class=\"wide\"><table><thead><tr>");
	for (int column = 0; column < PQnfields(rows); column++)
	{
		buffer_text(html, is_number(rows, column) ? "<th class=\"n\">" : "<th>");
		page_text(html, PQfname(rows, column));
		buffer_text(html, "</th>");
	}
	buffer_text(html, "</tr></thead><tbody>\n");
	for (int row = 0; row < PQntuples(rows); row++)
	{
		buffer_text(html, "<tr>");
		for (int column = 0; column < PQnfields(rows); column++)
			print_cell(html, rows, row, column);
		buffer_text(html, "</tr>\n");
	}
	buffer_text(html, "</tbody></table></div></section>\n");
}

/* ---------------------------------------------------------------- the page */

/* What each word means of which the program may say that it is why */
static const struct
{
	const char *why;
	const char *sentence;
}			sentences[] = {
	{"database", "The database cannot be reached, or does not answer."},
	{"sink", "The sink is down, or does not answer."},
	{"source", "What is read cannot be reached, or does not answer."},
	{"results", "What takes outcomes is down, or does not answer."},
	{"lag", "The oldest event that waits is older than --ready-lag allows."},
};

static const char *
sentence_of(const char *why)
{
	for (size_t i = 0; i < sizeof(sentences) / sizeof(sentences[0]); i++)
		if (strcmp(sentences[i].why, why) == 0)
			return sentences[i].sentence;
	return "";
}

static void
print_state(Buffer *html, const Report *report)
{
	const char *why = report_unready(report);

	buffer_printf(html, "<section class=\"state%s\"><b>%s%s</b><span>%s</span></section>\n", why != NULL ? " bad" : "",
				  why != NULL ? "Not ready: " : "Ready", why != NULL ? why : "", why != NULL ? sentence_of(why) : report->state != NULL ? report->state : "");
}

static void
print_tile(Buffer *html, const Tile *tile, double value)
{
	buffer_printf(html, "<div><dt>%s</dt><dd data-metric=\"%s\">", tile->title, tile->metric);
	switch (tile->unit)
	{
		case TILE_COUNT:
			append_count(html, (int64_t) value);
			break;
		case TILE_BYTES:
			append_bytes(html, value);
			break;
		case TILE_SECONDS:
			append_duration(html, value);
			break;
	}
	buffer_text(html, "</dd></div>\n");
}

static void
print_tiles(Buffer *html, const PageSubject *subject, const Report *report, const History *history)
{
	const Tile	lag = {"Lag", METRIC_LAG, TILE_SECONDS};

	buffer_text(html, "<dl class=\"tiles\">");
	print_tile(html, &lag, report_value(report, METRIC_LAG));
	buffer_text(html, "<div><dt>Rate, last minute</dt><dd>");
	append_rate(html, history_rate(history));
	buffer_text(html, "</dd></div>\n");
	for (int i = 0; i < subject->tile_count; i++)
		print_tile(html, &subject->tiles[i], report_value(report, subject->tiles[i].metric));
	buffer_text(html, "</dl>\n");
}

/* The end of a scale of rates: 1, 2 or 5 times a power of ten */
static double
top_of_rates(double most)
{
	double		power = 1;

	while (power * 10 <= most)
		power *= 10;
	return most <= power ? power : most <= 2 * power ? 2 * power : most <= 5 * power ? 5 * power : 10 * power;
}

/* The end of a scale of times */
static double
top_of_times(double most)
{
	static const double tops[] = {1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 18000, 43200, 86400};

	for (size_t i = 0; i < sizeof(tops) / sizeof(tops[0]); i++)
		if (most <= tops[i])
			return tops[i];
	return ceil(most / 86400) * 86400;
}

/* The curve, from left to right; the newest step ends at the right */
static void
print_curve(Buffer *html, const double *values, int count, double top)
{
	for (int i = 0; i < count; i++)
		buffer_printf(html, "%s%d %.1f", i == 0 ? "M" : "L", HISTORY_STEPS - count + i + 1, PLOT_HEIGHT * (1 - values[i] / top));
}

/* A plot of the last hour; what else it says of it stands at its right */
static void
print_plot(Buffer *html, const char *title, const double *values, int count, double (*find_top) (double most),
		   void (*print_value) (Buffer *html, double value))
{
	double		most = 0;
	double		top;
	Buffer		said = {0};

	for (int i = 0; i < count; i++)
		most = values[i] > most ? values[i] : most;
	top = find_top(most);
	buffer_text(&said, "at most ");
	print_value(&said, most);

	buffer_printf(html, "<figure><figcaption><b>%s</b><span>%s</span></figcaption><div class=\"plot\"><div class=\"scale\"><span>", title, said.data);
	print_value(html, top);
	buffer_printf(html, "</span><span>0</span></div><svg viewBox=\"0 0 %d %d\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"%s, the last hour: %s\">"
				  "<line class=\"half\" x1=\"0\" x2=\"%d\" y1=\"%d\" y2=\"%d\"/><path class=\"area\" d=\"",
				  HISTORY_STEPS, PLOT_HEIGHT, title, said.data, HISTORY_STEPS, PLOT_HEIGHT / 2, PLOT_HEIGHT / 2);
	print_curve(html, values, count, top);
	buffer_printf(html, "V%dH%dZ\"/><path class=\"curve\" d=\"", PLOT_HEIGHT, HISTORY_STEPS - count + 1);
	print_curve(html, values, count, top);
	buffer_text(html, "\"/></svg></div><div class=\"axis\"><span>1 h ago</span><span>30 min</span><span>now</span></div></figure>\n");
	buffer_free(&said);
}

static void
print_plots(Buffer *html, const History *history)
{
	Step		steps[HISTORY_STEPS];
	double		rates[HISTORY_STEPS] = {0};
	double		lags[HISTORY_STEPS] = {0};
	int			count = history_steps(history, steps);

	for (int i = 0; i < count; i++)
	{
		rates[i] = steps[i].rate;
		lags[i] = steps[i].lag;
	}
	buffer_text(html, "<div class=\"plots\">");
	print_plot(html, "Events a second", rates, count, top_of_rates, append_rate);
	print_plot(html, "Lag", lags, count, top_of_times, append_duration);
	buffer_text(html, "</div>\n");
}

/* When that was, for the foot of the page */
static void
print_time(Buffer *html)
{
	time_t		now = time(NULL);
	struct tm	parts;
	char		text[64];

	gmtime_r(&now, &parts);
	strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S UTC", &parts);
	buffer_printf(html, "<time>%s</time>", text);
}

/* Append the whole page */
void
page_print(const PageSubject *subject, const Report *report, const History *history, const char *details, Buffer *html)
{
	const char *why = report_unready(report);

	buffer_printf(html, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>%s", why != NULL ? "! " : "");
	escape(html, subject->name);
	buffer_printf(html, ": %s</title>"
				  "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><link rel=\"icon\" href=\"data:,\">"
				  "<noscript><meta http-equiv=\"refresh\" content=\"5\"></noscript><style>%s</style></head>\n"
				  "<body><p id=\"lost\" role=\"alert\">No answer: what stands here is old.</p><main>\n",
				  why != NULL ? why : "ready", page_style);
	buffer_text(html, "<header><h1>");
	escape(html, subject->name);
	buffer_printf(html, "</h1><p>%s %s</p></header>\n", program_name, ESGF_STAC_VERSION);
	print_state(html, report);
	print_tiles(html, subject, report, history);
	print_plots(html, history);
	buffer_text(html, details != NULL ? details : "");
	buffer_text(html, "<footer>");
	print_time(html);
	buffer_printf(html, "<a href=\"metrics\">metrics</a><a href=\"readyz\">readyz</a><a href=\"healthz\">healthz</a></footer></main>\n"
				  "<script>%s</script></body></html>\n", page_script);
}
