/*
 * access/href.h
 *		Where a file lies, and the prefixes that say where a data node's files may.
 *
 * A prefix has scheme and authority, which are compared as a whole and without
 * case. It ends in "/" or "=", or what follows it in the href is one of
 * "/ ? & #" or nothing. A parameter that it gives is not given again.
 */
#ifndef ESGF_STAC_ACCESS_HREF_H
#define ESGF_STAC_ACCESS_HREF_H

extern bool is_href_under(const char *href, int len, const char *prefix);

#endif							/* ESGF_STAC_ACCESS_HREF_H */
