/*
 * base/problem_kinds.h
 *		Every kind of problem, once: for errproblem() in C, for refuse() in SQL,
 *		and for what verbs/problem_json.h makes of an error.
 *
 * PROBLEM(name, slug, status, title, hint)
 *
 * slug		travels in the error's constraint name; the end of RFC 9457's type
 * status	of HTTP; the SQLSTATE is "PT" and this (PostgREST answers with it as
 *			it is)
 * title	of RFC 9457: what the kind is called, whatever the occasion
 * hint		of a refusal that gives none of its own; NULL where each must say
 *			itself, in DETAIL or HINT, what is to be done
 */
#ifndef ESGF_STAC_BASE_PROBLEM_KINDS_H
#define ESGF_STAC_BASE_PROBLEM_KINDS_H

#define PROBLEM_KINDS(PROBLEM) \
	PROBLEM(BAD_REQUEST, "bad-request", 400, \
			"Request is not well-formed", NULL) \
	PROBLEM(BAD_PATCH, "bad-patch", 400, \
			"Patch is not well-formed", NULL) \
	PROBLEM(BAD_SCHEMA, "bad-schema", 400, \
			"Schema is not well-formed, or asks what is not implemented", \
			"doc/schemas.md tells which keywords of which drafts there are.") \
	PROBLEM(STAC_VALIDATION, "stac-validation", 400, \
			"Document is not what STAC and the catalogue ask", NULL) \
	PROBLEM(UNEXPECTED_EXTENSION, "unexpected-extension", 400, \
			"Item declares an extension that its collection does not know", \
			"Declare what the collection asks for: columns schemas and unknown_schemas of esgf_stac.collection.") \
	PROBLEM(EXTENSION_BELOW_MINIMUM, "extension-below-minimum", 400, \
			"Item declares an extension in a version that is too old", \
			"Declare a version that the collection takes: column schemas of esgf_stac.collection.") \
	PROBLEM(EXPECTED_EXTENSION_MISSING, "expected-extension-missing", 400, \
			"Item does not declare an extension that its collection asks for", \
			"Declare what the collection asks for: column schemas of esgf_stac.collection.") \
	PROBLEM(OPERATION_NOT_PERMITTED, "operation-not-permitted", 400, \
			"Operation is never permitted", NULL) \
	PROBLEM(IDENTITY_MISSING, "identity-missing", 401, \
			"Gateway did not say for whom it acts", \
			"Call esgf_stac.set_identity() first in the same transaction.") \
	PROBLEM(MISSING_PERMISSION, "missing-permission", 403, \
			"A right is missing", NULL) \
	PROBLEM(COLLECTION_DOES_NOT_EXIST, "collection-does-not-exist", 404, \
			"Collection does not exist", \
			"SELECT id FROM esgf_stac.collection WHERE NOT deleted lists those that do.") \
	PROBLEM(ITEM_DOES_NOT_EXIST, "item-does-not-exist", 404, \
			"Item does not exist", \
			"Create it, or look for it in esgf_stac.published_item.") \
	PROBLEM(REPLICA_DOES_NOT_EXIST, "replica-does-not-exist", 404, \
			"Replica does not exist", \
			"Column nodes of esgf_stac.published_item says which nodes have one.") \
	PROBLEM(VERSION_PRUNED, "version-pruned", 404, \
			"Version is not kept", \
			"It was never given, or its event has been pruned.") \
	PROBLEM(EVENT_DOES_NOT_EXIST, "event-does-not-exist", 404, \
			"Event does not exist", \
			"The relay's log, and stream_status, name the event that it cannot send.") \
	PROBLEM(SOURCE_DOES_NOT_EXIST, "source-does-not-exist", 404, \
			"Source does not exist", \
			"SELECT name FROM esgf_stac.source lists those that do; esgf_stac.create_source() makes one.") \
	PROBLEM(RULE_DOES_NOT_EXIST, "rule-does-not-exist", 404, \
			"Rule does not exist", \
			"SELECT node, name FROM esgf_stac.replication_rule lists them; one is in force from valid_from until before valid_to.") \
	PROBLEM(SCHEMA_DOES_NOT_EXIST, "schema-does-not-exist", 404, \
			"Schema does not exist", \
			"SELECT url, revision, retired FROM esgf_stac.schema lists those that do; esgf_stac.add_schema() registers one.") \
	PROBLEM(JOB_DOES_NOT_EXIST, "job-does-not-exist", 404, \
			"Job does not exist", \
			"SELECT id, state FROM esgf_stac.iteration_job lists those that do; esgf_stac.start_iteration() makes one.") \
	PROBLEM(ITEM_ALREADY_EXISTS, "item-already-exists", 409, \
			"Item exists already", \
			"Patch or replace it, or publish another version of the dataset.") \
	PROBLEM(COLLECTION_ALREADY_EXISTS, "collection-already-exists", 409, \
			"Collection exists already", \
			"Patch or replace it.") \
	PROBLEM(COLLECTION_NOT_EMPTY, "collection-not-empty", 409, \
			"Collection has items", \
			"Delete its items first.") \
	PROBLEM(ITEM_RETRACTED, "item-retracted", 409, \
			"Item is retracted", \
			"Reinstate it first, with nothing else in the same change, or publish a new version.") \
	PROBLEM(INSTITUTION_DIFFERS, "institution-differs", 409, \
			"Dataset belongs to another institution", \
			"Publish it under an id of its own; to move a dataset, change all its versions in one UPDATE.") \
	PROBLEM(CONTENT_CHANGED, "content-changed", 409, \
			"Content of a file would change at one version", \
			"Publish changed files as a new version of the dataset.") \
	PROBLEM(REPLICA_ALREADY_EXISTS, "replica-already-exists", 409, \
			"Replica exists already with other content", NULL) \
	PROBLEM(REPLICA_INCOMPLETE, "replica-incomplete", 409, \
			"Replica does not cover every data file", \
			"Add or remove all files of a replica in one change.") \
	PROBLEM(LAST_REPLICA, "last-replica", 409, \
			"Replica is the last one", \
			"Retract or delete the item, or let another node add its replica first.") \
	PROBLEM(PATCH_DOES_NOT_APPLY, "patch-does-not-apply", 409, \
			"Patch does not apply to the item", NULL) \
	PROBLEM(REQUEST_ID_REUSED, "request-id-reused", 409, \
			"Idempotency key belongs to another request", \
			"An idempotency key goes with one body: give each new request a new one.") \
	PROBLEM(SOURCE_DIFFERS, "source-differs", 409, \
			"Log is not the one that the source was read from", \
			"A source is one log for ever: make another source for another log.") \
	PROBLEM(EVENTS_LOST, "events-lost", 409, \
			"Log no longer has events that were not read", \
			"Find out what was in them; then esgf_stac.seek_source() goes on where the log begins.") \
	PROBLEM(JOB_FINISHED, "job-finished", 409, \
			"Job is over", \
			"esgf_stac.start_iteration() starts another one.") \
	PROBLEM(VERSION_CONFLICT, "version-conflict", 412, \
			"Item has another version", \
			"Read it again, and decide whether your change still makes sense.") \
	PROBLEM(DOCUMENT_TOO_LARGE, "document-too-large", 413, \
			"Document is larger, or nested deeper, than it may be", \
			"Nothing may be larger: send less.") \
	PROBLEM(VERSION_REQUIRED, "version-required", 428, \
			"A precondition is required", \
			"Give the version that you have read as if_match.") \
	PROBLEM(NO_CATALOGUE, "no-catalogue", 503, \
			"Database has no catalogue", \
			"SELECT esgf_stac.create_catalogue() makes one.") \
	PROBLEM(CATALOGUE_NOT_ADOPTED, "catalogue-not-adopted", 503, \
			"Catalogue comes from another cluster", \
			"SELECT esgf_stac.adopt_catalogue() settles them.") \
	PROBLEM(MAINTENANCE, "maintenance", 503, \
			"Catalogue is in maintenance", \
			"Send the same again later; reading goes on.") \
	PROBLEM(SOURCE_INACTIVE, "source-inactive", 503, \
			"Source is not active", \
			"An administrator calls esgf_stac.configure_source() with active true.") \
	/* What the server itself refuses, by a constraint: no refusal of ours. */ \
	PROBLEM(UNKNOWN, "unknown", 409, \
			"The database refused the change", NULL)

#endif							/* ESGF_STAC_BASE_PROBLEM_KINDS_H */
