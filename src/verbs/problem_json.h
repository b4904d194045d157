/*
 * verbs/problem_json.h
 *		An error as RFC 9457 has it: {type, title, status, detail, instance,
 *		hint, current_version, errors[] {pointer, detail}}.  Who catches the
 *		error calls this before the next one is raised.
 */
#ifndef ESGF_STAC_VERBS_PROBLEM_JSON_H
#define ESGF_STAC_VERBS_PROBLEM_JSON_H

#include "utils/jsonb.h"

extern int	problem_status(const ErrorData *error);
extern Jsonb *problem_json(const ErrorData *error, const char *instance);

#endif							/* ESGF_STAC_VERBS_PROBLEM_JSON_H */
