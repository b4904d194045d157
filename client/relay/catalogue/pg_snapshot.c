/*
 * pg_snapshot.c
 *		Which transactions a snapshot shows: see catalogue/pg_snapshot.h.
 */
#include "catalogue/pg_snapshot.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* So many may be hidden in a snapshot that we make: it is written once and again. */
#define MAX_HIDDEN 1000

/* Append an id */
void
xids_add(XidList *list, uint64_t xid)
{
	if (list->count == list->room)
	{
		list->room = list->room > 0 ? list->room * 2 : 64;
		list->xids = reallocate(list->xids, list->room * sizeof(uint64_t));
	}
	list->xids[list->count++] = xid;
}

/* Read the server's text, xmin:xmax:xid,xid; nothing, or what is none, is no snapshot */
bool
pg_snapshot_read(PgSnapshot *snapshot, const char *text)
{
	char	   *end;

	snapshot->xmin = snapshot->xmax = 0;
	snapshot->hidden.count = 0;
	if (text == NULL)
		return false;
	snapshot->xmin = strtoull(text, &end, 10);
	if (*end == ':')
		snapshot->xmax = strtoull(end + 1, &end, 10);
	while (snapshot->xmax != 0 && (*end == ':' || *end == ',') && end[1] != '\0')
		xids_add(&snapshot->hidden, strtoull(end + 1, &end, 10));
	return snapshot->xmax != 0;
}

/* Find the place of an id among the hidden ones */
static size_t
find_place(const PgSnapshot *snapshot, uint64_t xid)
{
	size_t		first = 0;
	size_t		end = snapshot->hidden.count;

	while (first < end)
	{
		size_t		middle = (first + end) / 2;

		if (snapshot->hidden.xids[middle] < xid)
			first = middle + 1;
		else
			end = middle;
	}
	return first;
}

static bool
is_hidden(const PgSnapshot *snapshot, uint64_t xid)
{
	size_t		place = find_place(snapshot, xid);

	return place < snapshot->hidden.count && snapshot->hidden.xids[place] == xid;
}

bool
pg_snapshot_shows(const PgSnapshot *snapshot, uint64_t xid)
{
	return xid < snapshot->xmax && !is_hidden(snapshot, xid);
}

/* Have a snapshot show one more, and no other, unless too many would be hidden then */
void
pg_snapshot_add(PgSnapshot *snapshot, uint64_t xid)
{
	XidList    *hidden = &snapshot->hidden;

	if (snapshot->xmax == 0)
		return;
	if (xid >= snapshot->xmax && hidden->count + (xid - snapshot->xmax) <= MAX_HIDDEN)
	{
		while (snapshot->xmax < xid)
			xids_add(hidden, snapshot->xmax++);
		snapshot->xmax = xid + 1;
	}
	else if (is_hidden(snapshot, xid))
	{
		size_t		place = find_place(snapshot, xid);

		memmove(hidden->xids + place, hidden->xids + place + 1, (--hidden->count - place) * sizeof(uint64_t));
	}
}

/* Append the server's text */
void
pg_snapshot_print(const PgSnapshot *snapshot, Buffer *text)
{
	buffer_printf(text, "%" PRIu64 ":%" PRIu64 ":", snapshot->xmin, snapshot->xmax);
	for (size_t i = 0; i < snapshot->hidden.count; i++)
		buffer_printf(text, "%s%" PRIu64, i > 0 ? "," : "", snapshot->hidden.xids[i]);
}
