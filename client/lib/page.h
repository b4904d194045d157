/*
 * page.h
 *		One page in HTML, for a person who wants to know how the program does. It
 *		is whole: nothing is fetched for it from anywhere else.
 *
 * details		what the program has to say beside its metrics: facts and tables
 */
#ifndef LIB_PAGE_H
#define LIB_PAGE_H

#include <libpq-fe.h>

#include "lib/history.h"
#include "lib/report.h"

typedef enum TileUnit
{
	TILE_COUNT,
	TILE_BYTES,
	TILE_SECONDS,
} TileUnit;

/* A metric that stands in large type. */
typedef struct Tile
{
	const char *title;
	const char *metric;
	TileUnit	unit;
} Tile;

/* What the page is about; it is also the label of each metric, and its value. */
typedef struct PageSubject
{
	const char *label;
	const char *name;
	const Tile *tiles;
	int			tile_count;
} PageSubject;

/* The main thread's alone: the log's secrets are hidden. */
extern void page_text(Buffer *html, const char *text);
extern void page_facts_begin(Buffer *html);
extern void page_fact(Buffer *html, const char *name, const char *format,...) __attribute__((format(printf, 3, 4)));
extern void page_facts_end(Buffer *html);
extern void page_table(Buffer *html, const char *title, const char *none, const PGresult *rows);

/* Any thread's. */
extern void page_print(const PageSubject *subject, const Report *report, const History *history, const char *details, Buffer *html);

/* page_style.c */
extern const char page_style[];
extern const char page_script[];

/*
 * Nothing is allowed but these two, by the hashes of their texts, the page itself
 * once more, and an empty icon. A test computes the hashes.
 */
#define PAGE_POLICY "default-src 'none'; style-src 'sha256-YJTIsna/yUJs3wJsYLh2H9EQPV/clDSRj4XIwsGKM5w='; script-src 'sha256-UngdNNbWlq4D7vlENgJ3cKSQYHGF1yuY3Mvt/3E431k='; connect-src 'self'; img-src data:; " \
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

#endif							/* LIB_PAGE_H */
