/*
 * access/site.h
 *		The data nodes, as the table site has them.
 */
#ifndef ESGF_STAC_ACCESS_SITE_H
#define ESGF_STAC_ACCESS_SITE_H

typedef enum SiteVerdict
{
	SITE_FINE, SITE_UNKNOWN, SITE_INACTIVE, SITE_FOREIGN_HREF
} SiteVerdict;

extern SiteVerdict judge_site(const char *node, int node_len, const char *href, int href_len);
extern bool is_active_site(const char *node, int node_len);
extern char *describe_prefixes(const char *node);

#endif							/* ESGF_STAC_ACCESS_SITE_H */
