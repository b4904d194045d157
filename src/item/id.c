/*
 * item/id.c
 *		Reads the id of an item: see item/id.h.
 */
#include "postgres.h"

#include "item/id.h"

/* Split an id into base_id and dataset version; points into the id. */
void
parse_item_id(const char *id, int len, ParsedId *result)
{
	int			digits = 0;

	while (digits < len && id[len - 1 - digits] >= '0' && id[len - 1 - digits] <= '9')
		digits++;
	result->id = id;
	result->len = result->base_len = len;
	result->version = NULL;
	result->version_len = 0;
	if (digits > 0 && len - digits > 2 && memcmp(id + len - digits - 2, ".v", 2) == 0)
	{
		result->base_len = len - digits - 2;
		result->version = id + len - digits;
		result->version_len = digits;
	}
}

/* Compare digits as numbers of any length; none at all is the oldest. */
int
compare_dataset_versions(const char *a, int alen, const char *b, int blen)
{
	if (a == NULL || b == NULL)
		return (a != NULL) - (b != NULL);
	for (; alen > 0 && *a == '0'; alen--)
		a++;
	for (; blen > 0 && *b == '0'; blen--)
		b++;
	return alen != blen ? alen - blen : memcmp(a, b, alen);
}
