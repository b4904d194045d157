/*
 * stac/geojson.h
 *		Geometries and bounding boxes as RFC 7946 has them, with the limits of
 *		those who read them afterwards: two or three finite numbers to a position.
 */
#ifndef ESGF_STAC_STAC_GEOJSON_H
#define ESGF_STAC_STAC_GEOJSON_H

#include "stac/shape.h"

extern void check_bbox(const JsonbSlice *node, const Place *place, ProblemList *problems);
extern void check_geometry(const JsonbSlice *node, const Place *place, ProblemList *problems);

#endif							/* ESGF_STAC_STAC_GEOJSON_H */
