/*
 * arena.h
 *		For scripts/fuzz, which has the compiler include it before each source of
 *		the document functions: what they allocate ends where memory ends that
 *		nobody may touch, and goes when the run is over.
 */
#include "postgres.h"

#include "utils/memutils.h"

extern void *arena_alloc(Size size);
extern void *arena_alloc0(Size size);
extern void *arena_realloc(void *chunk, Size size);
extern void arena_free(void *chunk);

#define palloc			arena_alloc
#define palloc0			arena_alloc0
#define repalloc		arena_realloc
#define repalloc_huge	arena_realloc
#define pfree			arena_free
