/*
 * verbs/perform.h
 *		Performs a request to change one item.
 */
#ifndef ESGF_STAC_VERBS_PERFORM_H
#define ESGF_STAC_VERBS_PERFORM_H

#include "verbs/methods.h"

extern void check_request_lengths(const ItemRequest *request);
extern Jsonb *describe_request(const ItemRequest *request);
extern void perform_item_request(ItemRequest *request);

#endif							/* ESGF_STAC_VERBS_PERFORM_H */
