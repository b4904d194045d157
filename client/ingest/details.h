/*
 * details.h
 *		What the page shows of an ingester beside its metrics.
 */
#ifndef INGEST_DETAILS_H
#define INGEST_DETAILS_H

struct Ingest;
extern void show_details(struct Ingest *ingest);

#endif							/* INGEST_DETAILS_H */
