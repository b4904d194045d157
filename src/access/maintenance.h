/*
 * access/maintenance.h
 *		May the catalogue be changed now, or is it in maintenance?
 *
 * That is asked by whatever begins a change, before anything else is looked at
 * or waited for.  The first that is let through admits its transaction: what has
 * begun to write may end.  Administrators are let through always, and admit
 * nothing.
 */
#ifndef ESGF_STAC_ACCESS_MAINTENANCE_H
#define ESGF_STAC_ACCESS_MAINTENANCE_H

/* What set_maintenance() has said. */
typedef struct Maintenance
{
	char	   *message;
	bool		tells_when;
	int64		retry_after;	/* seconds, if it tells when */
} Maintenance;

extern const Maintenance *maintenance_for_caller(void);
extern const Maintenance *maintenance_for_others(void);
extern void refuse_in_maintenance(const Maintenance *maintenance);
extern void require_open(void);
extern void admit_transaction(void);

#endif							/* ESGF_STAC_ACCESS_MAINTENANCE_H */
