/*
 * item/extensions.h
 *		The extensions that an item declares, and what its collection expects of
 *		them.
 *
 * extension	a schema that an item names by its URL in `stac_extensions`.
 * expectation	an element of a collection's setting `schemas`, about extensions
 *				whose URL has a prefix. The version of such a one is the first
 *				segment behind the prefix.
 */
#ifndef ESGF_STAC_ITEM_EXTENSIONS_H
#define ESGF_STAC_ITEM_EXTENSIONS_H

#include "base/errors.h"
#include "base/problems.h"
#include "item/settings.h"
#include "json/slice.h"

typedef struct Extension
{
	JsonKey		url;			/* without an empty fragment */
	uint32		index;			/* in `stac_extensions` */
	bool		known;			/* is there a schema for it, in force? */
} Extension;

typedef struct Expectation
{
	JsonKey		prefix;
	JsonKey		minimum;		/* a version; its data is NULL: any */
	bool		required;
} Expectation;

extern void check_expectations(const Jsonb *expectations);
extern List *read_expectations(const Jsonb *expectations);
extern const Expectation *expectation_of(JsonKey url, const List *expectations);
extern JsonKey without_empty_fragment(JsonKey url);
extern List *declared_extensions(const Jsonb *document);
extern ProblemKind check_extensions(const List *extensions, const CollectionSettings *settings, ProblemList *problems);

#endif							/* ESGF_STAC_ITEM_EXTENSIONS_H */
