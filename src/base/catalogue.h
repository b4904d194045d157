/*
 * base/catalogue.h
 *		Is there a catalogue, of our version, and may it be written here?
 */
#ifndef ESGF_STAC_BASE_CATALOGUE_H
#define ESGF_STAC_BASE_CATALOGUE_H

extern Oid	table_oid(const char *name);
extern Oid	find_table(const char *name);
extern void require_catalogue(void);
extern void require_writable_catalogue(void);

#endif							/* ESGF_STAC_BASE_CATALOGUE_H */
