/*
 * access/site.c
 *		Is this href one that this data node may claim? See access/site.h.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "access/href.h"
#include "access/site.h"
#include "base/bytes.h"
#include "base/compat.h"
#include "base/table_cache.h"

/* So many prefixes are told to who used another one. */
#define PREFIXES_SHOWN 10

typedef struct Site
{
	char	   *node;
	bool		active;
	int			prefix_count;
	char	  **prefixes;
} Site;

/* Keep one site. */
static void *
keep_site(void *sites, HeapTuple row, TupleDesc desc)
{
	Site	   *site = palloc(sizeof(Site));
	Datum	   *prefixes;
	bool	   *nulls;
	bool		isnull;

	site->node = SPI_getvalue(row, desc, 1);
	site->active = DatumGetBool(SPI_getbinval(row, desc, 2, &isnull));
	deconstruct_array(DatumGetArrayTypeP(SPI_getbinval(row, desc, 3, &isnull)), TEXTOID, -1, false, TYPALIGN_INT,
					  &prefixes, &nulls, &site->prefix_count);
	site->prefixes = palloc(sizeof(char *) * Max(1, site->prefix_count));
	for (int i = 0; i < site->prefix_count; i++)
		site->prefixes[i] = nulls[i] ? pstrdup("") : TextDatumGetCString(prefixes[i]);
	return lappend(sites, site);
}

/* Read the sites. */
static void *
read_sites(void)
{
	static Statement statement = {
		"SELECT node, active, href_prefixes FROM esgf_stac.site"
	};

	return keep_rows(&statement, NULL, keep_site, NIL);
}

static TableCache site_cache = {"site", read_sites};

/* Find a data node by its name, or NULL. */
static Site *
find_site(const char *node, int node_len)
{
	List	   *sites = cached_rows(&site_cache);
	ListCell   *cell;

	foreach(cell, sites)
	{
		Site	   *site = lfirst(cell);

		if (bytes_are(node, node_len, site->node))
			return site;
	}
	return NULL;
}

/* Is a node one of an active site? */
bool
is_active_site(const char *node, int node_len)
{
	Site	   *site = find_site(node, node_len);

	return site && site->active;
}

/* May this node hold a file there? */
SiteVerdict
judge_site(const char *node, int node_len, const char *href, int href_len)
{
	Site	   *site = find_site(node, node_len);

	if (site == NULL)
		return SITE_UNKNOWN;
	if (!site->active)
		return SITE_INACTIVE;
	for (int i = 0; i < site->prefix_count; i++)
		if (is_href_under(href, href_len, site->prefixes[i]))
			return SITE_FINE;
	return SITE_FOREIGN_HREF;
}

/* The prefixes of a known node, for a person: the first few of them. */
char *
describe_prefixes(const char *node)
{
	Site	   *site = find_site(node, strlen(node));
	StringInfoData words;

	if (site == NULL || site->prefix_count == 0)
		return "none";
	initStringInfo(&words);
	for (int i = 0; i < Min(site->prefix_count, PREFIXES_SHOWN); i++)
		appendStringInfo(&words, "%s%s", i > 0 ? ", " : "", site->prefixes[i]);
	if (site->prefix_count > PREFIXES_SHOWN)
		appendStringInfo(&words, " and %d more", site->prefix_count - PREFIXES_SHOWN);
	return words.data;
}
