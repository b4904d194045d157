/*
 * item/schemas.h
 *		Is an item as the schemas ask that it declares, and which were these?
 *
 * An extension that an item declares is judged by the revision in force of its
 * schema; what its collection expects of extensions is judged before. Judged is
 * the document that will be stored, where it is another one than before: see
 * judged_part().
 *
 * affixed		what `validated_against` says: the revisions that have judged a
 *				document.
 */
#ifndef ESGF_STAC_ITEM_SCHEMAS_H
#define ESGF_STAC_ITEM_SCHEMAS_H

#include "change/compare.h"
#include "item/settings.h"

/* What of an item's document a change has judged. */
typedef enum JudgedPart
{
	JUDGED_NOTHING, JUDGED_LINKS, JUDGED_ALL
} JudgedPart;

extern JudgedPart judged_part(bool appears, const Change *change);
extern Jsonb *judge_document(const Jsonb *document, const CollectionSettings *settings);
extern void judge_appended_links(const Jsonb *document, const Jsonb *old, const CollectionSettings *settings);
extern Jsonb *schema_warnings(JudgedPart part, const Jsonb *document, const Jsonb *old, const Jsonb *affixed, const CollectionSettings *settings);
extern void list_document_problems(const Jsonb *document, const Jsonb *affixed, const CollectionSettings *settings, ProblemList *problems);

#endif							/* ESGF_STAC_ITEM_SCHEMAS_H */
