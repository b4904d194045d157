/*
 * visibility.h
 *		Commits that the stream tells of before queries see them.
 */
#ifndef CATALOGUE_VISIBILITY_H
#define CATALOGUE_VISIBILITY_H

#include "catalogue/catalogue.h"

extern ExitStatus commits_pending(const Catalogue *catalogue, char **xids);
extern ExitStatus commits_visible(const Catalogue *catalogue, const char *xids, bool *visible);
extern ExitStatus wait_until_visible(const Catalogue *catalogue, const char *xids);
extern ExitStatus wait_for_commits(const Catalogue *catalogue);

#endif							/* CATALOGUE_VISIBILITY_H */
