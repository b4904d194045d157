/*
 * metrics_file.h
 *		A file in Prometheus' text format, for the textfile collector of its node
 *		exporter. Readers see the old one or the new one, whole.
 */
#ifndef LIB_METRICS_FILE_H
#define LIB_METRICS_FILE_H

#include <stdio.h>

typedef struct MetricsFile
{
	const char *path;
	const char *label;			/* of each metric, with its value */
	const char *subject;
	FILE	   *file;			/* what is to take its place; NULL: it could
								 * not be made */
} MetricsFile;

extern void metrics_file_begin(MetricsFile *metrics);
extern void metrics_file_add(const MetricsFile *metrics, const char *name, const char *type, const char *help, double value);
extern void metrics_file_end(MetricsFile *metrics);

#endif							/* LIB_METRICS_FILE_H */
