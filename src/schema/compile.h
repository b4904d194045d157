/*
 * schema/compile.h
 *		While a schema is compiled: the compiler, and what keywords ask of it.
 *
 * resource		a schema with a URL of its own ("$id"), or a whole document: the
 *				base of the references in it.
 * scope		the document, the resource and the draft in which a schema stands.
 */
#ifndef ESGF_STAC_SCHEMA_COMPILE_H
#define ESGF_STAC_SCHEMA_COMPILE_H

#include "base/problems.h"
#include "json/key_table.h"
#include "schema/schema.h"

typedef enum Draft
{
	DRAFT_07 = 1 << 0,
	DRAFT_2019_09 = 1 << 1,
	DRAFT_2020_12 = 1 << 2,
	DRAFT_NONE = 0
} Draft;

/* A document that is read. */
typedef struct ReadDocument
{
	SchemaSource source;
	KeyTable   *urls;			/* of its resources and anchors: their places
								 * in "targets", from 1 */
	List	   *targets;
} ReadDocument;

typedef struct Scope
{
	ReadDocument *document;
	Draft		draft;
	JsonKey		base;			/* a URL without fragment; perhaps empty */
	JsonbSlice	root;			/* the resource's own schema */
} Scope;

typedef struct Compiler
{
	Schema	   *schema;
	SchemaLookup lookup;
	void	   *keeper;
	KeyTable   *urls;			/* that were referred to: their places in
								 * "documents", from 1; 0: there is none */
	List	   *documents;		/* of ReadDocument, the root's first */
	struct place_table_hash *places;	/* nodes, by where their schemas lie */
	List	   *nodes;
	List	   *references;		/* of all schemas, in the order of reading */
	SchemaNode *everything;
	SchemaNode *nothing;
	UnmetReference **unmet_end;
} Compiler;

/* One schema while its keywords are read. */
typedef struct KeywordReader
{
	Compiler   *compiler;
	Scope	   *scope;
	SchemaNode *node;
	const char *keyword;		/* in hand */
	const Place *place;			/* of its value */

	/* What is settled when all keywords are read. */
	SchemaNode *items;
	SchemaNode *additional_items;
} KeywordReader;

extern const Place *keep_place(const Compiler *compiler, const Place *parent, JsonKey key, uint32 index);
pg_noreturn extern void bad_schema(const Place *place, const char *format,...) pg_attribute_printf(2, 3);
extern void join_members(const Compiler *compiler, ObjectRules *rules, const MemberRule *more, uint32 count);
extern void add_reference(KeywordReader *reader, JsonKey url);
extern SchemaNode *read_schema(Compiler *compiler, const JsonbSlice *value, Scope *scope, const Place *place);
extern void read_keywords(KeywordReader *reader, const JsonbContainer *object, const Place *place);
extern Draft draft_of_url(const JsonbSlice *url);

#endif							/* ESGF_STAC_SCHEMA_COMPILE_H */
