/* Names of one directory that people take for one, in a tree that came from elsewhere: the same
 * rule as for directories that are committed (fileset_twins.c).  Twins are always entries of one
 * tree, so each text is looked at by itself. */
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/unicode.h"
#include "common/content/digest_set.h"
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

static struct vt_digest folded(const struct vt_tree_line *line)
{
	char *name = vt_xstrndup(line->name, line->name_len), *fold = vt_unicode_fold(name);
	struct vt_digest d = vt_digest_bytes(fold, strlen(fold));

	free(fold);
	free(name);
	return d;
}

/* The name before `line` that folds to the same. */
static char *first_of(const char *text, const struct vt_tree_line *line)
{
	const struct vt_digest wanted = folded(line);
	struct vt_tree_line other;
	struct vt_err none = VT_ERR_INIT;
	const char *at = strchr(text, '\n') + 1;

	while (vt_tree_line_next(&at, &other, &none) > 0 && other.name < line->name) {
		const struct vt_digest d = folded(&other);

		if (vt_digest_equal(&d, &wanted))
			break;
	}
	return vt_xstrndup(other.name, other.name_len);
}

/* What a twin means: VT_EDATA, or it is counted and the first pair is kept. */
static int weigh(const char *text, const struct vt_tree_line *line, char *pair[2], size_t *pairs,
	struct vt_err *err)
{
	char *one = first_of(text, line), *other = vt_xstrndup(line->name, line->name_len);
	int rc = 0;

	if (vt_unicode_equal(one, other)) {
		rc = vt_err_set(err, VT_EDATA,
			"\"%s\" and \"%s\" are one name in two Unicode forms; rename one where it "
			"comes from",
			one, other);
	} else if (!(*pairs)++) {
		pair[0] = one;
		pair[1] = other;
		return 0;
	}
	free(one);
	free(other);
	return rc;
}

int vt_tree_text_twins(const char *text, size_t n, const char *said, struct vt_err *err)
{
	struct vt_digest_set seen = VT_DIGEST_SET_INIT;
	const char *at = strchr(text, '\n');
	char *pair[2] = { NULL, NULL };
	struct vt_tree_line line;
	size_t pairs = 0;
	int rc = 0;

	if (!at || !may_have_twins(text, n))
		return 0;
	for (at++; !rc && vt_tree_line_next(&at, &line, err) > 0;) {
		const struct vt_digest d = folded(&line);

		if (!vt_digest_set_add(&seen, &d))
			rc = weigh(text, &line, pair, &pairs, err);
	}
	if (!rc && pairs)
		vt_log(VT_LOG_WARN, "case-twins",
			"tree=\"%s\" pairs=%zu one=\"%s\" other=\"%s\" note=\"they cannot be "
			"checked out together where a file system takes A for a\"",
			said, pairs, pair[0], pair[1]);
	free(pair[0]);
	free(pair[1]);
	vt_digest_set_release(&seen);
	return rc;
}
