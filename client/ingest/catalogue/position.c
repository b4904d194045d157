/*
 * position.c
 *		Where a partition stands: the database knows, and remembers which log it
 *		read.
 */
#include "ingest/catalogue/catalogue.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/log.h"

/* The log's end is noted that often, if it moves, and otherwise to say that somebody reads. */
#define NOTE_MS 1000
#define REMIND_MS 5000

typedef char Number[24];

static const char *
number_text(Number text, int64_t number)
{
	snprintf(text, sizeof(Number), "%" PRId64, number);
	return text;
}

/* The name under which several of us share a log: those of one database alone */
ExitStatus
position_group(const Catalogue *catalogue, Buffer *group)
{
	Buffer		problem = {0};
	PGresult   *result = database_query(catalogue->sql, &problem, "SELECT system_identifier FROM esgf_stac.catalogue", 0, NULL);

	if (result == NULL)
		return failure_status(&problem);
	buffer_printf(group, "esgf_stac_ingest-%s-%s-%s", field(result, 0), PQdb(catalogue->sql), catalogue->settings->source);
	PQclear(result);
	return STATUS_RUNNING;
}

/* How far is a partition performed? -1: never read */
static ExitStatus
read_position(const Catalogue *catalogue, const Partition *partition, int64_t *position)
{
	Number		number;
	const char *parameters[] = {catalogue->settings->source, number_text(number, partition->number)};
	Buffer		problem = {0};
	PGresult   *result = database_query(catalogue->sql, &problem,
										"SELECT next_offset FROM esgf_stac_internal.source_position($1, $2::int)", 2, parameters);

	if (result == NULL)
		return failure_status(&problem);
	*position = field(result, 0) != NULL ? strtoll(field(result, 0), NULL, 10) : -1;
	PQclear(result);
	return STATUS_RUNNING;
}

/* The event_id that a line names; NULL if it names none, or cannot be read */
static ExitStatus
find_event_id(const Catalogue *catalogue, const Buffer *line, char **event_id)
{
	const char *parameters[] = {line->data};
	Buffer		problem = {0};
	PGresult   *result;

	if (line->length == 0)
		return STATUS_RUNNING;
	result = database_query(catalogue->sql, &problem,
							"SELECT CASE WHEN jsonb_typeof(e) = 'string' THEN nullif(e #>> '{}', '') END"
							" FROM (SELECT $1::jsonb #> '{metadata,event_id}') line (e)", 1, parameters);
	if (result == NULL && failure_for_now())
		return failure_status(&problem);
	if (result != NULL && field(result, 0) != NULL)
		*event_id = copy_string(field(result, 0));
	buffer_free(&problem);
	PQclear(result);
	return STATUS_RUNNING;
}

/* Have the database see that the log is the one that it knows, and say where to go on */
static ExitStatus
begin_source(const Catalogue *catalogue, Partition *partition, const Survey *survey, bool results)
{
	Number		numbers[3];
	char	   *event_id = NULL;
	ExitStatus	status = find_event_id(catalogue, &survey->last_line, &event_id);
	const char *parameters[] = {catalogue->settings->source, number_text(numbers[0], partition->number),
		survey->cluster, survey->topic, number_text(numbers[1], survey->first), number_text(numbers[2], survey->end),
	event_id, results ? "true" : "false"};
	Buffer		problem = {0};
	PGresult   *result;

	if (status != STATUS_RUNNING)
		return status;
	result = database_query(catalogue->sql, &problem,
							"SELECT esgf_stac_internal.begin_source($1, $2::int,"
							" CASE WHEN $3::text IS NOT NULL THEN jsonb_build_object('cluster', $3::text, 'topic', $4::text) END,"
							" $5::bigint, $6::bigint, $7, $8::boolean)", 8, parameters);
	free(event_id);
	if (result == NULL)
		return failure_status(&problem);
	partition->position = strtoll(field(result, 0), NULL, 10);
	PQclear(result);
	return STATUS_RUNNING;
}

/* Learn where to go on with a partition, and that its log is the one that it was */
ExitStatus
position_begin(const Catalogue *catalogue, Source *source, Partition *partition, const Batch *batch, bool results)
{
	Survey		survey = {0};
	Buffer		problem = {0};
	int64_t		position = -1;
	ExitStatus	status = read_position(catalogue, partition, &position);

	if (status == STATUS_RUNNING && !source->kind->survey(source, partition, position, batch, &survey, &problem))
	{
		log_line(LOG_ERROR, "source: %s", problem.data);
		status = STATUS_ENDPOINT;
	}
	if (stop_requested)
		status = STATUS_STOPPED;
	if (status == STATUS_RUNNING && !partition->lost)
		status = begin_source(catalogue, partition, &survey, results);
	if (status == STATUS_RUNNING && !partition->lost)
	{
		partition->surveyed = true;
		log_line(LOG_NOTE, "reading partition %d from %" PRId64 " on", partition->number, partition->position);
	}
	buffer_free(&survey.last_line);
	buffer_free(&problem);
	return status;
}

/* Would a partition begin? What is noted of that is rolled back. A source of NULL: only whether it is there is known */
ExitStatus
position_check(const Catalogue *catalogue, Source *source)
{
	Partition	alone = {0};
	Batch		batch = {0};
	int64_t		position;
	Buffer		problem = {0};
	ExitStatus	status;

	if (!database_do(catalogue->sql, &problem, "BEGIN"))
		return database_lost(&problem);
	status = source != NULL ? position_begin(catalogue, source, source->partitions[0], &batch, false) : read_position(catalogue, &alone, &position);
	if (status != STATUS_DATABASE && status != STATUS_STOPPED && !database_do(catalogue->sql, &problem, "ROLLBACK"))
		return database_lost(&problem);
	return status;
}

/*
 * Note where the log of a partition ends, if it is time; and see whether an
 * administrator has moved back where it stands
 */
ExitStatus
position_note(const Catalogue *catalogue, Partition *partition, bool *moved)
{
	int64_t		now = monotonic_ms();
	bool		news = partition->end != partition->noted_end ||
	(partition->at_end && partition->position != partition->noted_position);
	Number		numbers[3];
	const char *parameters[] = {catalogue->settings->source, number_text(numbers[0], partition->number),
	number_text(numbers[1], partition->end), number_text(numbers[2], partition->position), partition->at_end ? numbers[1] : NULL};
	Buffer		problem = {0};
	PGresult   *result;

	if (now < partition->noted_at + (news ? NOTE_MS : REMIND_MS))
		return STATUS_RUNNING;
	result = database_query(catalogue->sql, &problem,
							"SELECT (SELECT next_offset FROM esgf_stac.source_partition WHERE source = $1 AND partition = $2::int),"
							" esgf_stac_internal.note_source($1, $2::int, $3::bigint, $4::bigint, $5::bigint)", 5, parameters);
	if (result == NULL)
		return failure_status(&problem);
	*moved = *moved || field(result, 0) == NULL || strtoll(field(result, 0), NULL, 10) < partition->position;
	PQclear(result);
	if (partition->at_end && partition->end > partition->position)
		partition->position = partition->end;
	partition->noted_end = partition->end;
	partition->noted_position = partition->position;
	partition->noted_at = now;
	return STATUS_RUNNING;
}
