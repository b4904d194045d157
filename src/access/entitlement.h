/*
 * access/entitlement.h
 *		A principal that is an entitlement of EGI is a right by itself.
 */
#ifndef ESGF_STAC_ACCESS_ENTITLEMENT_H
#define ESGF_STAC_ACCESS_ENTITLEMENT_H

#include "access/role.h"
#include "json/edit.h"

/* What an entitlement says; its words point into the principal. */
typedef struct Entitlement
{
	Role		role;
	Scope		scope;
	JsonKey		target;
	JsonKey		institution;	/* data NULL: any */
} Entitlement;

extern bool read_entitlement(const char *principal, Entitlement *entitlement);

#endif							/* ESGF_STAC_ACCESS_ENTITLEMENT_H */
