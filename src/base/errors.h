/*
 * base/errors.h
 *		The refusals of esgf_stac: each has an SQLSTATE, "PT" and an HTTP status
 *		(PostgREST answers with it as it is), and a problem slug, which travels
 *		in the error's constraint name.
 *
 * Use: ereport(ERROR, (errproblem(PROBLEM_BAD_PATCH), errmsg(...), ...)), with
 * errsentence(...) in place of errmsg(...) where a caller's words are in it.
 */
#ifndef ESGF_STAC_BASE_ERRORS_H
#define ESGF_STAC_BASE_ERRORS_H

#define ESGF_PT(a, b, c) MAKE_SQLSTATE('P', 'T', (a), (b), (c))

#define PROBLEM_STAC_VALIDATION				ESGF_PT('4', '0', '0'), "stac-validation"
#define PROBLEM_OPERATION_NOT_PERMITTED		ESGF_PT('4', '0', '0'), "operation-not-permitted"
#define PROBLEM_BAD_PATCH					ESGF_PT('4', '0', '0'), "bad-patch"
#define PROBLEM_BAD_REQUEST					ESGF_PT('4', '0', '0'), "bad-request"
#define PROBLEM_IDENTITY_MISSING			ESGF_PT('4', '0', '1'), "identity-missing"
#define PROBLEM_MISSING_PERMISSION			ESGF_PT('4', '0', '3'), "missing-permission"
#define PROBLEM_ITEM_DOES_NOT_EXIST			ESGF_PT('4', '0', '4'), "item-does-not-exist"
#define PROBLEM_COLLECTION_DOES_NOT_EXIST	ESGF_PT('4', '0', '4'), "collection-does-not-exist"
#define PROBLEM_REPLICA_DOES_NOT_EXIST		ESGF_PT('4', '0', '4'), "replica-does-not-exist"
#define PROBLEM_VERSION_PRUNED				ESGF_PT('4', '0', '4'), "version-pruned"
#define PROBLEM_ITEM_ALREADY_EXISTS			ESGF_PT('4', '0', '9'), "item-already-exists"
#define PROBLEM_COLLECTION_ALREADY_EXISTS	ESGF_PT('4', '0', '9'), "collection-already-exists"
#define PROBLEM_COLLECTION_NOT_EMPTY		ESGF_PT('4', '0', '9'), "collection-not-empty"
#define PROBLEM_ITEM_RETRACTED				ESGF_PT('4', '0', '9'), "item-retracted"
#define PROBLEM_INSTITUTION_DIFFERS			ESGF_PT('4', '0', '9'), "institution-differs"
#define PROBLEM_CONTENT_CHANGED				ESGF_PT('4', '0', '9'), "content-changed"
#define PROBLEM_REPLICA_ALREADY_EXISTS		ESGF_PT('4', '0', '9'), "replica-already-exists"
#define PROBLEM_REPLICA_INCOMPLETE			ESGF_PT('4', '0', '9'), "replica-incomplete"
#define PROBLEM_LAST_REPLICA				ESGF_PT('4', '0', '9'), "last-replica"
#define PROBLEM_PATCH_DOES_NOT_APPLY		ESGF_PT('4', '0', '9'), "patch-does-not-apply"
#define PROBLEM_REQUEST_ID_REUSED			ESGF_PT('4', '0', '9'), "request-id-reused"
#define PROBLEM_VERSION_CONFLICT			ESGF_PT('4', '1', '2'), "version-conflict"
#define PROBLEM_DOCUMENT_TOO_LARGE			ESGF_PT('4', '1', '3'), "document-too-large"
#define PROBLEM_VERSION_REQUIRED			ESGF_PT('4', '2', '8'), "version-required"
#define PROBLEM_NO_CATALOGUE				ESGF_PT('5', '0', '3'), "no-catalogue"
#define PROBLEM_CATALOGUE_NOT_ADOPTED		ESGF_PT('5', '0', '3'), "catalogue-not-adopted"

/* What the server itself says to who lacks a privilege; it has no slug. */
#define errforbidden()	(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), err_generic_string(PG_DIAG_SCHEMA_NAME, "esgf_stac"))

/* The message of an error that repeats a caller's words. */
#define errsentence(...)	errmsg_internal("%s", one_line(psprintf(__VA_ARGS__)))

/* The table name of an error: the noun that it is about. */
#define errtable_of(name)	err_generic_string(PG_DIAG_TABLE_NAME, (name))

extern int	errproblem(int sqlstate, const char *slug);
extern char *without_controls(char *text);
extern char *one_line(char *text);
extern char *clip(const char *words, int len);

#endif							/* ESGF_STAC_BASE_ERRORS_H */
