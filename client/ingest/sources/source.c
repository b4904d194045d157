/*
 * source.c
 *		The kinds of sources that this program was built with, and what they
 *		share: partitions.
 */
#include "ingest/sources/source.h"

#include <stdlib.h>

static const SourceKind *const kinds[] = {
	&source_ndjson,
#ifdef WITH_KAFKA
	&source_kafka,
#endif
};

#define KIND_COUNT (sizeof(kinds) / sizeof(kinds[0]))

/* Find the kind that scheme:target names, and where its target begins */
const SourceKind *
source_find(const char *name, const char **target)
{
	for (size_t i = 0; i < KIND_COUNT; i++)
		if (scheme_is(name, kinds[i]->scheme, target))
			return kinds[i];
	return NULL;
}

/* ---------------------------------------------------------------- partitions */

/* One more is ours, in so many bytes, of which the first are a Partition */
Partition *
source_add_partition(Source *source, int number, size_t size)
{
	Partition  *partition = allocate(size);

	partition->number = number;
	partition->noted_end = -1;
	source->partitions = reallocate(source->partitions, (size_t) (source->partition_count + 1) * sizeof(Partition *));
	source->partitions[source->partition_count++] = partition;
	source->unsurveyed = true;
	return partition;
}

/* The one of that number that is ours; NULL if it is not */
Partition *
source_partition(const Source *source, int number)
{
	for (int i = 0; i < source->partition_count; i++)
		if (source->partitions[i]->number == number && !source->partitions[i]->lost)
			return source->partitions[i];
	return NULL;
}

/* Nobody holds a partition: those lost may go */
void
source_remove_lost(Source *source)
{
	int			kept = 0;

	for (int i = 0; i < source->partition_count; i++)
	{
		if (source->partitions[i]->lost)
			free(source->partitions[i]);
		else
			source->partitions[kept++] = source->partitions[i];
	}
	source->partition_count = kept;
}

void
source_free_partitions(Source *source)
{
	for (int i = 0; i < source->partition_count; i++)
		free(source->partitions[i]);
	free(source->partitions);
}
