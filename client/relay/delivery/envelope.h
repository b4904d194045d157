/*
 * envelope.h
 *		What the federation's envelope says beside the document.
 */
#ifndef DELIVERY_ENVELOPE_H
#define DELIVERY_ENVELOPE_H

#include "catalogue/catalogue.h"
#include "formats/event.h"

extern ExitStatus envelope_prepare(const Catalogue *catalogue, Event *batch, int count);

#endif							/* DELIVERY_ENVELOPE_H */
