/*
 * metrics_file.h
 *		A file in Prometheus' text format, for the textfile collector of its node
 *		exporter. Readers see the old one or the new one, whole.
 */
#ifndef LIB_METRICS_FILE_H
#define LIB_METRICS_FILE_H

#include <stdbool.h>

#include "lib/buffer.h"

extern bool metrics_file_write(const char *path, const Buffer *text);

#endif							/* LIB_METRICS_FILE_H */
