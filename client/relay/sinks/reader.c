/*
 * reader.c
 *		Lists of what a sink holds.
 */
#include "sinks/reader.h"

#include <stdlib.h>
#include <string.h>

/* Add an item of which nothing is held as far as is known */
Holding *
holdings_add(Holdings *holdings, const char *collection_id, const char *item_id)
{
	Holding    *holding;

	if (holdings->count == holdings->space)
	{
		holdings->space = holdings->space > 0 ? holdings->space * 2 : 64;
		holdings->list = reallocate(holdings->list, (size_t) holdings->space * sizeof(Holding));
	}
	holding = &holdings->list[holdings->count++];
	*holding = (Holding)
	{
		.collection_id = copy_string(collection_id),.item_id = copy_string(item_id)
	};
	return holding;
}

/* Note what is held of one of them; the document, if any, need not end with a NUL */
void
holding_set(Holdings *holdings, Holding *holding, Held held, int64_t version, const char *document, size_t length)
{
	holding->held = held;
	holding->version = version;
	free(holding->document);
	holding->document = NULL;
	if (document == NULL)
		return;
	holding->document = allocate(length + 1);
	memcpy(holding->document, document, length);
	holdings->bytes += length;
}

void
holdings_clear(Holdings *holdings)
{
	for (int i = 0; i < holdings->count; i++)
	{
		free(holdings->list[i].collection_id);
		free(holdings->list[i].item_id);
		free(holdings->list[i].document);
	}
	holdings->count = 0;
	holdings->bytes = 0;
}

void
holdings_free(Holdings *holdings)
{
	holdings_clear(holdings);
	free(holdings->list);
	*holdings = (Holdings)
	{
		.list = NULL
	};
}
