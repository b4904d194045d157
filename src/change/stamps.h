/*
 * change/stamps.h
 *		Stamps are `created` and `updated` of an item, of an asset, of a location:
 *		RFC 3339 times, or null.
 *
 * Clients write "now" into them at each try, so they have no rights of their
 * own: they change only with what they belong to. The item's belong to each of
 * its changes by somebody who may update it; an asset's to its content and its
 * primary location.
 */
#ifndef ESGF_STAC_CHANGE_STAMPS_H
#define ESGF_STAC_CHANGE_STAMPS_H

#include "utils/jsonb.h"

extern Jsonb *settle_stamps(Jsonb *document, const Jsonb *old, bool may_update, bool *fine);

#endif							/* ESGF_STAC_CHANGE_STAMPS_H */
