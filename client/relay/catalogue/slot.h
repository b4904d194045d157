/*
 * slot.h
 *		The replication slot: found, made, or made again where it was lost.
 */
#ifndef CATALOGUE_SLOT_H
#define CATALOGUE_SLOT_H

#include "catalogue/consumer.h"

extern ExitStatus slot_check(const Consumer *consumer, bool *in_use);
extern ExitStatus slot_prepare(Consumer *consumer);
extern ExitStatus slot_confirmed(const Catalogue *catalogue, bool *active, uint64_t *position);
extern void slot_ask_held(Catalogue *catalogue);

#endif							/* CATALOGUE_SLOT_H */
