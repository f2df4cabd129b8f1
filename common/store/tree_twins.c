/* A tree that came from elsewhere is asked what a directory that is committed is (twins.h).  Twins
 * are always entries of one tree, so each text is looked at by itself. */
#include <string.h>

#include "common/content/twins.h"
#include "common/store/store_internal.h"
#include "common/store/tree_check.h"

/* In all else of a text there is neither a capital letter nor a byte that is not ASCII. */
static bool may_have_twins(const char *text, size_t n)
{
	bool may = false;

	for (size_t i = 0; i < n && !may; i++)
		may = (text[i] >= 'A' && text[i] <= 'Z') || (unsigned char)text[i] >= 0x80;
	return may;
}

int vt_tree_text_twins(const char *text, size_t n, const char *said, struct vt_err *err)
{
	const char *at = strchr(text, '\n');
	struct vt_twins twins = VT_TWINS_INIT;
	struct vt_tree_line line;
	int rc;

	if (!at || !may_have_twins(text, n))
		return 0;
	for (at++; vt_tree_line_next(&at, &line, err) > 0;)
		vt_twins_add(&twins, line.name, line.name_len);
	rc = vt_twins_check(&twins, "tree", said, err);
	vt_twins_release(&twins);
	return rc;
}
