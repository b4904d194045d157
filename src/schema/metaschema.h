/*
 * schema/metaschema.h
 *		draft-07's own schema, which others refer to.
 */
#ifndef ESGF_STAC_SCHEMA_METASCHEMA_H
#define ESGF_STAC_SCHEMA_METASCHEMA_H

#define METASCHEMA_URL "http://json-schema.org/draft-07/schema"

extern const char metaschema[];

#endif							/* ESGF_STAC_SCHEMA_METASCHEMA_H */
