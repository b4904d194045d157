/*
 * schema/schema.h
 *		A JSON Schema, compiled: what it asks of a value, as a graph of nodes.
 *
 * node			one schema or subschema; each place of a document that is a schema
 *				has one, however many references lead there.
 * rules		what a node asks of objects, arrays, strings or numbers only, NULL
 *				where it asks nothing.
 *
 * All of it lies in a memory context of its own, and points into the copy of the
 * document there. Judging (schema/judge.h) changes nothing but what is made at
 * first use: patterns.
 */
#ifndef ESGF_STAC_SCHEMA_SCHEMA_H
#define ESGF_STAC_SCHEMA_SCHEMA_H

#include "schema/format.h"
#include "schema/pattern.h"
#include "schema/values.h"
#include "utils/numeric.h"

/* No limit: nothing in jsonb is so long. */
#define UNLIMITED PG_UINT32_MAX

/* Types of values, as "type" names them. */
enum
{
	TYPE_NULL = 1 << 0,
	TYPE_BOOLEAN = 1 << 1,
	TYPE_INTEGER = 1 << 2,
	TYPE_NUMBER = 1 << 3,
	TYPE_STRING = 1 << 4,
	TYPE_ARRAY = 1 << 5,
	TYPE_OBJECT = 1 << 6,
	TYPE_ANY = (1 << 7) - 1
};

typedef struct SchemaNode SchemaNode;

typedef struct NodeList
{
	uint32		count;
	SchemaNode **nodes;
} NodeList;

/* A member of "properties" or "required", or both. */
typedef struct MemberRule
{
	JsonKey		key;
	SchemaNode *node;			/* NULL: not of "properties" */
	bool		required;
} MemberRule;

/* A member of "patternProperties". */
typedef struct PatternRule
{
	Pattern    *pattern;
	SchemaNode *node;
} PatternRule;

/* Where an object has this member, it must have others, or be as a node says. */
typedef struct DependencyRule
{
	JsonKey		key;
	const char *keyword;
	JsonKey    *required;
	uint32		required_count;
	SchemaNode *node;			/* NULL: none */
} DependencyRule;

typedef struct ObjectRules
{
	MemberRule *members;		/* in jsonb's order of keys, each once */
	uint32		member_count;
	PatternRule *patterns;
	uint32		pattern_count;
	SchemaNode *additional;		/* NULL, as the next: anything */
	SchemaNode *names;
	DependencyRule *dependencies;
	uint32		dependency_count;
	uint32		min;
	uint32		max;
} ObjectRules;

typedef struct ArrayRules
{
	NodeList	first;			/* one for each of the first elements */
	const char *first_keyword;
	SchemaNode *rest;			/* NULL: anything */
	const char *rest_keyword;
	SchemaNode *contains;		/* NULL: nothing */
	uint32		min_contains;
	uint32		max_contains;
	bool		contains_counted;	/* is there "minContains"? */
	uint32		min;
	uint32		max;
	bool		unique;
} ArrayRules;

typedef struct StringRules
{
	uint32		min;
	uint32		max;
	Pattern    *pattern;		/* NULL, as the next: none */
	const Format *format;
} StringRules;

/* Bounds; NULL: none. */
typedef struct NumberRules
{
	Numeric		minimum;
	Numeric		maximum;
	Numeric		exclusive_minimum;
	Numeric		exclusive_maximum;
	Numeric		multiple_of;
} NumberRules;

/* What is said by other schemas of the same value. */
typedef struct Combination
{
	NodeList	all;
	NodeList	any;
	NodeList	one;
	SchemaNode *not;			/* NULL, as the next: none */
	SchemaNode *condition;
	SchemaNode *consequence;
	SchemaNode *alternative;
} Combination;

struct SchemaNode
{
	bool		nothing;		/* false: no value will do */
	bool		anything;		/* nothing is asked */
	bool		shared;			/* references lead here */
	uint8		types;			/* those that are allowed */
	ValueSet   *values;			/* of "enum" */
	JsonbSlice *constant;
	SchemaNode *reference;
	NumberRules *number;
	StringRules *string;
	ArrayRules *array;
	ObjectRules *object;
	Combination *combination;
	uint8		mark;			/* of whoever walks the graph while it is made */
};

/* A document that is compiled, or that others refer to. */
typedef struct SchemaSource
{
	JsonKey		url;			/* where it is kept, without fragment; empty:
								 * nowhere */
	const Jsonb *document;
	bool		assert_formats;
} SchemaSource;

/* A reference to another document that leads nowhere. */
typedef struct UnmetReference
{
	const char *holder;			/* URL of the document that has it */
	const char *pointer;		/* where it stands there */
	const char *url;			/* what it refers to */
	bool		there;			/* the document is there, but not what is
								 * referred to in it */
	struct UnmetReference *next;
} UnmetReference;

typedef struct Schema
{
	MemoryContext context;
	const Jsonb *document;		/* the copy */
	SchemaNode *root;
	UnmetReference *unmet;		/* not NULL: it cannot judge */
	uint64		automaton_budget;
} Schema;

/*
 * Whoever keeps documents: the one that is meant by a URL, which need not be
 * terminated; false: none. It is called in the schema's memory context, and what
 * it answers must live as long.
 */
typedef bool (*SchemaLookup) (void *keeper, JsonKey url, SchemaSource *found);

extern Schema *compile_schema(const SchemaSource *source, MemoryContext parent, SchemaLookup lookup, void *keeper);

#endif							/* ESGF_STAC_SCHEMA_SCHEMA_H */
