/*
 * dead_letter.h
 *		Events that the sink refused for good.
 */
#ifndef DELIVERY_DEAD_LETTER_H
#define DELIVERY_DEAD_LETTER_H

#include "catalogue/catalogue.h"
#include "formats/event.h"

extern ExitStatus dead_letter_add(const Catalogue *catalogue, const Event *event);

#endif							/* DELIVERY_DEAD_LETTER_H */
