/*
 * verbs/perform.h
 *		Performs a request to change one item.
 */
#ifndef ESGF_STAC_VERBS_PERFORM_H
#define ESGF_STAC_VERBS_PERFORM_H

#include "verbs/methods.h"
#include "verbs/outcome.h"

extern void item_missing(const ItemRequest *request);
pg_noreturn extern void refuse_kept_out(const text *item_id);
extern void check_request_lengths(const ItemRequest *request);
extern Jsonb *describe_request(const ItemRequest *request);
extern void perform_item_request(ItemRequest *request);
extern void perform_task(Outcome *outcome, ItemRequest *request);

#endif							/* ESGF_STAC_VERBS_PERFORM_H */
