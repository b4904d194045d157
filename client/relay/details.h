/*
 * details.h
 *		What the page shows of a relay beside its metrics.
 */
#ifndef RELAY_DETAILS_H
#define RELAY_DETAILS_H

struct Relay;
extern void show_details(struct Relay *relay);

#endif							/* RELAY_DETAILS_H */
