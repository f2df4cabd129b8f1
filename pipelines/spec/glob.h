/* glob.h - the path patterns of pipeline inputs.
 *
 *      struct vt_glob_match m;
 *      if (vt_glob_match(&m, "/sub-(*)", "/sub-001"))
 *              key = vt_glob_replace(&m, "$1");
 *
 * * and ? stay inside one path element, ** crosses them; [a-c] [!a] {a,b} \x; (...) captures;
 * @(a|b) one of, *(a) any number, +(a) one or more, ?(a) at most one, !(a) anything but - inside
 * one path element; these capture too.  Groups are numbered by their opening parenthesis.  Paths
 * and patterns start with '/' and do not end in one: vt_glob_clean. */
#ifndef PIPELINES_SPEC_GLOB_H
#define PIPELINES_SPEC_GLOB_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/err.h"

enum { VT_GLOB_GROUPS = 16 };

struct vt_glob_match {
	const char *path; /* borrowed from the caller */
	int n;            /* groups in the pattern */
	size_t steps;     /* of the search */
	struct {
		int from, to;
	} group[VT_GLOB_GROUPS]; /* from < 0: did not take part */
};

/* One leading '/', no trailing '/', no empty elements; caller frees. */
char *vt_glob_clean(const char *pattern);

/* VT_EDATA with the column where a bracket does not close or there are too many groups. */
int vt_glob_check(const char *pattern, struct vt_err *err);

int vt_glob_groups(const char *pattern);
bool vt_glob_has_double_star(const char *pattern);

/* The leading part without any special character: "/a/b" of "/a/b*"; the tree below it is all
 * that can match. */
size_t vt_glob_literal(const char *pattern);

/* Bytes of the first n elements of a cleaned pattern ("/a*" of "/a*" "/b", n 1), which name a
 * directory above what it matches; 0 where there are not more than n. */
size_t vt_glob_level(const char *pattern, size_t n);

/* Both cleaned.  match may be NULL.  The steps grow with a power of the lengths, however many ways
 * there are to match. */
bool vt_glob_match(struct vt_glob_match *match, const char *pattern, const char *path);

/* $1...$9, ${12} and $$ replaced; a group that is missing or took no part gives nothing.  Caller
 * frees. */
char *vt_glob_replace(const struct vt_glob_match *match, const char *replacement);

/* The largest n of any $n in the text; 0 if there is none. */
int vt_glob_highest(const char *replacement);

#endif
