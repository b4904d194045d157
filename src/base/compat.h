/*
 * base/compat.h
 *		The only home of differences between the server's major versions
 *		15 to 18: everything else reads as one source.
 */
#ifndef ESGF_STAC_BASE_COMPAT_H
#define ESGF_STAC_BASE_COMPAT_H

#if PG_VERSION_NUM < 150000 || PG_VERSION_NUM >= 190000
#error "esgf_stac is made for PostgreSQL 15 to 18"
#endif

/* Since 16 the macros of variable-length values have a header of their own. */
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

#include "fmgr.h"
#include "storage/proc.h"

/* Since 16 what the server calls is marked as visible; all else is hidden (see Makefile). */
#if PG_VERSION_NUM < 160000
#undef PGDLLEXPORT
#define PGDLLEXPORT __attribute__((visibility("default")))
#undef PG_FUNCTION_INFO_V1
#define PG_FUNCTION_INFO_V1(name) \
	extern PGDLLEXPORT Datum name(PG_FUNCTION_ARGS); \
	extern PGDLLEXPORT const Pg_finfo_record *pg_finfo_##name(void); \
	const Pg_finfo_record * \
	pg_finfo_##name(void) \
	{ \
		static const Pg_finfo_record info = {1}; \
		return &info; \
	} \
	extern int	no_such_variable
#endif

/* The number of this backend's transaction, of use until it ends. */
#if PG_VERSION_NUM >= 170000
#define backend_local_xid() (MyProc->vxid.lxid)
#else
#define backend_local_xid() (MyProc->lxid)
#endif

/* 18 says before the declaration that a function does not return. */
#if PG_VERSION_NUM < 180000
#define pg_noreturn pg_attribute_noreturn()
#endif

/*
 * Enter a row that was inserted into the indexes of its table; with the address of
 * a bool, that tells of a key which is there. 16 can update some of them alone.
 */
#if PG_VERSION_NUM >= 160000
#define insert_index_entries(target, slot, estate, conflict) \
	ExecInsertIndexTuples(target, slot, estate, false, (conflict) != NULL, conflict, NIL, false)
#else
#define insert_index_entries(target, slot, estate, conflict) \
	ExecInsertIndexTuples(target, slot, estate, false, (conflict) != NULL, conflict, NIL)
#endif

/* Has no row the keys of one that is about to come? Waits for who has not ended; since 18 a row may be left out. */
#if PG_VERSION_NUM >= 180000
#define check_index_entries(target, slot, estate, conflict) \
	ExecCheckIndexConstraints(target, slot, estate, conflict, &(slot)->tts_tid, NIL)
#else
#define check_index_entries(target, slot, estate, conflict) ExecCheckIndexConstraints(target, slot, estate, conflict, NIL)
#endif

#endif							/* ESGF_STAC_BASE_COMPAT_H */
