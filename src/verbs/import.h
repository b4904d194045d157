/*
 * verbs/import.h
 *		Items that come from another catalogue, as they are there.
 */
#ifndef ESGF_STAC_VERBS_IMPORT_H
#define ESGF_STAC_VERBS_IMPORT_H

/*
 * Set while import_items() inserts an item: it keeps the times that it has, and
 * its appearing is no event. All other rules are those of a publication.
 */
extern bool importing;

#endif							/* ESGF_STAC_VERBS_IMPORT_H */
