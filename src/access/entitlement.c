/*
 * access/entitlement.c
 *		Reads entitlements: see access/entitlement.h.
 *
 * urn:mace:egi.eu:group:esgf.vo.egi.eu:(project|node):<id>[:institution:<inst>]:role=<ROLE>#aai.egi.eu
 */
#include "postgres.h"

#include "access/entitlement.h"

/* Take a prefix off a string that begins with it. */
static bool
skip(const char **text, const char *prefix)
{
	if (strncmp(*text, prefix, strlen(prefix)) != 0)
		return false;
	*text += strlen(prefix);
	return true;
}

/* Take off a word that ends at a colon, which goes with it; false if there is none. */
static bool
skip_word(const char **text, JsonKey *word)
{
	const char *end = strchr(*text, ':');

	if (end == NULL || end == *text)
		return false;
	*word = (JsonKey) {*text, end - *text};
	*text = end + 1;
	return true;
}

/* Read an entitlement; false if a principal is none. */
bool
read_entitlement(const char *principal, Entitlement *entitlement)
{
	const char *text = principal;
	const char *end;

	if (!skip(&text, "urn:mace:egi.eu:group:esgf.vo.egi.eu:"))
		return false;
	if (skip(&text, "project:"))
		entitlement->scope = SCOPE_PROJECT;
	else if (skip(&text, "node:"))
		entitlement->scope = SCOPE_NODE;
	else
		return false;
	if (!skip_word(&text, &entitlement->target))
		return false;
	entitlement->institution = (JsonKey) {NULL};
	if (skip(&text, "institution:") && !skip_word(&text, &entitlement->institution))
		return false;
	end = strchr(text, '#');
	return skip(&text, "role=") && end && find_role(text, end - text, &entitlement->role) && strcmp(end, "#aai.egi.eu") == 0;
}
