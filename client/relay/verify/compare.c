/*
 * compare.c
 *		Compares some items, and looks again at those that seem to differ.
 */
#include "verify/verification.h"

#include <stdlib.h>
#include <string.h>

#include "catalogue/slot.h"
#include "catalogue/visibility.h"
#include "lib/log.h"

/* Documents of one page have about so many bytes. */
#define PAGE_BYTES (4 * 1024 * 1024)
#define FIRST_PAGE_SIZE 50

/* So many suspects are looked at again together. */
#define MOST_SUSPECTS 10000

/* What changes each time that it is looked at cannot be compared. */
#define MOST_LOOKS 20

/* How many items are read at once? */
int
compare_size(const Verification *verification)
{
	if (!verification->reader->documents)
		return verification->reader->kind->most;
	return verification->page_size > 0 ? verification->page_size : FIRST_PAGE_SIZE;
}

/* Documents were read: let the next page have its bytes */
static void
adapt_page_size(Verification *verification, const Holdings *items)
{
	int64_t		size;

	if (items->bytes == 0)
		return;
	size = (int64_t) PAGE_BYTES * items->count / (int64_t) items->bytes;
	verification->page_size = size < 1 ? 1 : size < verification->reader->kind->most ? (int) size : verification->reader->kind->most;
}

static bool
any_ahead(const Holdings *items, const Truth *truths)
{
	for (int i = 0; i < items->count; i++)
		if (items->list[i].held != HELD_NOTHING && items->list[i].version > truths[i].version)
			return true;
	return false;
}

/*
 * Read the truth of items that the sink was read of. It may have got what
 * queries did not see then.
 */
static ExitStatus
read_truth(Verification *verification, const Holdings *items, Truth *truths)
{
	ExitStatus	status = truth_read(verification->catalogue, items, truths);

	if (status == STATUS_RUNNING && any_ahead(items, truths))
	{
		status = wait_for_commits(verification->catalogue);
		if (status == STATUS_RUNNING)
			status = truth_read(verification->catalogue, items, truths);
	}
	adapt_page_size(verification, items);
	return status;
}

/* ---------------------------------------------------------------- suspects */

static void
add_suspect(SuspectItems *suspects, const Holding *item, const Truth *truth)
{
	int			place = suspects->items.count;

	holdings_add(&suspects->items, item->collection_id, item->item_id);
	if (suspects->space < suspects->items.space)
	{
		suspects->space = suspects->items.space;
		suspects->truths = reallocate(suspects->truths, (size_t) suspects->space * sizeof(Truth));
	}
	suspects->truths[place] = *truth;
}

static void
free_suspects(SuspectItems *suspects)
{
	holdings_free(&suspects->items);
	free(suspects->truths);
	*suspects = (SuspectItems)
	{
		.space = 0
	};
}

void
suspects_free(Verification *verification)
{
	free_suspects(&verification->suspects);
}

/* Does that count without a second look? */
static bool
counts_at_once(DriftKind kind)
{
	return kind == DRIFT_AHEAD || kind == DRIFT_DIFFERS;
}

/* Compare some items that the sink was read of; the suspects among them are looked at again later */
ExitStatus
compare_items(Verification *verification, Holdings *items)
{
	Truth	   *truths = allocate((size_t) items->count * sizeof(Truth) + 1);
	ExitStatus	status = read_truth(verification, items, truths);

	for (int i = 0; status == STATUS_RUNNING && i < items->count; i++)
	{
		DriftKind	kind = drift_judge(verification->reader->kind, &items->list[i], &truths[i]);

		verification->items += truths[i].in_stream;
		if (counts_at_once(kind))
			drift_add(&verification->drift, kind, &items->list[i], &truths[i]);
		else if (kind != DRIFT_NONE)
			add_suspect(&verification->suspects, &items->list[i], &truths[i]);
	}
	free(truths);
	if (status == STATUS_RUNNING && verification->suspects.items.count >= MOST_SUSPECTS)
		status = compare_suspects(verification);
	return status;
}

/* Does the sink have at least what was the truth before? Then it was late */
static bool
was_late(const Holding *item, const Truth *before)
{
	return item->held == HELD_DOCUMENT && before->in_stream && item->version >= before->version;
}

/* Judge items that were looked at again; what has changed meanwhile stays suspect */
static void
judge_again(Verification *verification, const Holdings *items, const Truth *before, const Truth *truths, SuspectItems *left)
{
	for (int i = 0; i < items->count; i++)
	{
		const Holding *item = &items->list[i];
		DriftKind	kind = drift_judge(verification->reader->kind, item, &truths[i]);

		if (counts_at_once(kind) || (kind != DRIFT_NONE && truths[i].version == before[i].version))
			drift_add(&verification->drift, kind, item, &truths[i]);
		else if (kind != DRIFT_NONE && !was_late(item, &before[i]))
			add_suspect(left, item, &truths[i]);
	}
}

/* Look again at all suspects, page by page */
static ExitStatus
look_again(Verification *verification, SuspectItems *left)
{
	const SuspectItems *suspects = &verification->suspects;
	SinkReader *reader = verification->reader;
	Buffer		problem = {0};
	ExitStatus	status = STATUS_RUNNING;
	int			next = 0;

	while (status == STATUS_RUNNING && next < suspects->items.count)
	{
		Holdings	page = {0};
		Truth	   *truths;
		int			first = next;

		while (next < suspects->items.count && page.count < compare_size(verification))
		{
			holdings_add(&page, suspects->items.list[next].collection_id, suspects->items.list[next].item_id);
			next++;
		}
		truths = allocate((size_t) page.count * sizeof(Truth));
		if (!reader->kind->lookup(reader, &page, &problem))
			status = reader_lost(&problem);
		if (status == STATUS_RUNNING)
			status = read_truth(verification, &page, truths);
		if (status == STATUS_RUNNING)
			judge_again(verification, &page, suspects->truths + first, truths, left);
		free(truths);
		holdings_free(&page);
		if (status == STATUS_RUNNING)
			status = verification_note(verification, 0);
	}
	return status;
}

/* Look at the suspects again and again, until each differs, or does not */
ExitStatus
compare_suspects(Verification *verification)
{
	ExitStatus	status = STATUS_RUNNING;
	bool		documents = verification->reader->documents;

	verification->reader->documents = verification->settings->deep;
	for (int looks = 0; status == STATUS_RUNNING && verification->suspects.items.count > 0; looks++)
	{
		SuspectItems left = {0};

		if (looks == MOST_LOOKS)
		{
			log_line(LOG_WARNING, "verify: %d items change too often to be compared", verification->suspects.items.count);
			suspects_free(verification);
			break;
		}
		status = confirmation_await(verification);
		if (status == STATUS_RUNNING)
			status = look_again(verification, &left);
		suspects_free(verification);
		verification->suspects = left;
	}
	verification->reader->documents = documents;
	return status;
}
