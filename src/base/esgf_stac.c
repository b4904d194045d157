/*
 * base/esgf_stac.c
 *		The library as the server loads it.
 */
#include "postgres.h"

#include "base/compat.h"
#include "fmgr.h"

PG_MODULE_MAGIC;
