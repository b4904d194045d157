/*
 * access.h
 *		Who may change what.
 */
#ifndef ESGF_STAC_ACCESS_H
#define ESGF_STAC_ACCESS_H

#include "postgres.h"

extern bool is_administrator(void);

#endif							/* ESGF_STAC_ACCESS_H */
