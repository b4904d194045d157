/*
 * schema/judge.h
 *		Is a value as a schema asks, and if not, why?
 *
 * Where only the verdict is asked, judging ends at the first failure. Where the
 * problems are, it goes on, and a spot knows the way back to the root.
 *
 * row			a problem: one keyword that failed at one place; no row is there
 *				twice.
 */
#ifndef ESGF_STAC_SCHEMA_JUDGE_H
#define ESGF_STAC_SCHEMA_JUDGE_H

#include "base/problems.h"
#include "schema/schema.h"

/* A place, and a hash of its pointer; NULL is the root. */
typedef struct Spot
{
	Place		place;
	uint64		hash;
} Spot;

typedef struct OpenObject OpenObject;

typedef struct Judgement
{
	OpenObject *open;
	ProblemList *problems;		/* NULL: only the verdict is asked */
	struct row_table_hash *rows;	/* hashes of what is in "problems" */
	uint32		steps;
	struct memory_hash *memory; /* of verdicts; NULL while there is little to
								 * remember */
	uint64		comparisons;	/* of strings, in search of a nearer one */
} Judgement;

extern bool schema_allows(Schema *schema, const JsonbSlice *document);
extern void list_schema_problems(Schema *schema, const JsonbSlice *document, ProblemList *problems);

/* What is between judging and explaining. */
extern bool judge(Judgement *judgement, SchemaNode *node, const JsonbSlice *value, const Spot *spot, const char *holder);
extern bool allows(Judgement *judgement, SchemaNode *node, const JsonbSlice *value);
extern bool has_type(const JsonbSlice *value, uint8 types);
extern bool is_constant_or_listed(const SchemaNode *node, const JsonbSlice *value);
extern Spot spot_below(const Spot *parent, const JsonKey *key, uint32 index);

/* Rows, each at a spot; what they say is for people. */
extern void explain_nothing(Judgement *judgement, const Spot *spot, const char *holder);
extern void explain_type(Judgement *judgement, const SchemaNode *node, const JsonbSlice *value, const Spot *spot);
extern void explain_enum(Judgement *judgement, const SchemaNode *node, const JsonbSlice *value, const Spot *spot);
extern void explain_const(Judgement *judgement, const SchemaNode *node, const JsonbSlice *value, const Spot *spot);
extern void explain_number(Judgement *judgement, const char *keyword, const char *must, Numeric bound, const JsonbSlice *value, const Spot *spot);
extern void explain_count(Judgement *judgement, const char *keyword, const char *must, uint32 bound, const char *of, uint32 count, const Spot *spot);
extern void explain_pattern(Judgement *judgement, const Pattern *pattern, const JsonbSlice *value, const Spot *spot);
extern void explain_format(Judgement *judgement, const Format *format, const JsonbSlice *value, const Spot *spot);
extern void explain_unique(Judgement *judgement, uint32 first, uint32 second, const Spot *spot);
extern void explain_contains(Judgement *judgement, const ArrayRules *rules, uint32 count, const Spot *spot);
extern void explain_missing(Judgement *judgement, const char *keyword, JsonKey missing, const JsonKey *because, const Spot *spot);
extern void explain_name(Judgement *judgement, SchemaNode *names, const JsonbSlice *key, const Spot *spot);
extern void explain_choice(Judgement *judgement, const NodeList *list, uint32 fitting, const char *keyword, const JsonbSlice *value, const Spot *spot);
extern void explain_not(Judgement *judgement, const Spot *spot);

#endif							/* ESGF_STAC_SCHEMA_JUDGE_H */
