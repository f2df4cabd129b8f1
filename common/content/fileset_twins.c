/* Names that people take for one.
 *
 * Two that differ in the Unicode form alone (one from a Mac, one from elsewhere) are one name to
 * everybody and to every question about a subject: refused.  Two that differ in the case of letters
 * a to z cannot be checked out together on file systems that fold it, and are said.  Each file
 * and each directory is looked at once: of sorted paths, the parts that the path before did not
 * have. */
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/unicode.h"
#include "common/content/digest_set.h"
#include "common/content/fileset.h"

struct folded {
	struct vt_digest_set seen;
	char *twin[2]; /* the first pair that differs in case alone */
	size_t n;      /* such pairs */
};

static struct vt_digest fold(const char *path)
{
	char *text = vt_unicode_fold(path);
	struct vt_digest d = vt_digest_bytes(text, strlen(text));

	free(text);
	return d;
}

/* The path up to before that folds to the same. */
static char *find(const struct vt_fileset *fileset, size_t before, size_t depth,
	const struct vt_digest *wanted)
{
	for (size_t i = 0; i <= before; i++) {
		const char *path = fileset->file[i].path;
		struct vt_digest d;
		char *part;
		size_t n = 0;

		for (size_t k = 0; k < depth && path[n]; k++)
			n += strcspn(path + n, "/") + (k + 1 < depth && strchr(path + n, '/'));
		part = vt_xstrndup(path, n);
		d = fold(part);
		if (vt_digest_equal(wanted, &d))
			return part;
		free(part);
	}
	return vt_xstrdup("another");
}

static int look(struct folded *folded, const struct vt_fileset *fileset, size_t i, size_t n,
	size_t depth, struct vt_err *err)
{
	char *part = vt_xstrndup(fileset->file[i].path, n), *other = NULL;
	struct vt_digest d = fold(part);
	int rc = 0;

	if (vt_digest_set_add(&folded->seen, &d))
		goto out;
	if (!vt_unicode_is_ascii(part) || !folded->n)
		other = find(fileset, i, depth, &d);
	if (other && vt_unicode_equal(other, part)) {
		rc = vt_err_set(err, VT_EDATA,
			"%s: \"%s\" and \"%s\" are one name in two Unicode forms; rename one",
			fileset->root, other, part);
	} else if (!folded->n++) {
		folded->twin[0] = vt_xstrdup(other);
		folded->twin[1] = vt_xstrdup(part);
	}
out:
	free(other);
	free(part);
	return rc;
}

/* Bytes that two paths have in common, up to the end of a whole part. */
static size_t common(const char *a, const char *b)
{
	size_t n = 0;

	for (size_t i = 0; a[i] && a[i] == b[i]; i++)
		if (a[i] == '/')
			n = i + 1;
	return n;
}

int vt_fileset_twins(const struct vt_fileset *fileset, struct vt_err *err)
{
	struct folded f = { VT_DIGEST_SET_INIT, { NULL, NULL }, 0 };
	int rc = 0;

	for (size_t i = 0; !rc && i < fileset->n; i++) {
		const char *path = fileset->file[i].path;
		size_t n = i ? common(path, fileset->file[i - 1].path) : 0, depth = 1;

		for (size_t k = 0; k < n; k++)
			depth += path[k] == '/';
		for (; !rc && path[n]; depth++) {
			n += strcspn(path + n, "/");
			rc = look(&f, fileset, i, n, depth, err);
			n += path[n] == '/';
		}
	}
	if (!rc && f.n)
		vt_log(VT_LOG_WARN, "case-twins",
			"dir=\"%s\" pairs=%zu one=\"%s\" other=\"%s\" note=\"they cannot be "
			"checked out "
			"together where a file system takes A for a\"",
			fileset->root, f.n, f.twin[0], f.twin[1]);
	free(f.twin[0]);
	free(f.twin[1]);
	vt_digest_set_release(&f.seen);
	return rc;
}
