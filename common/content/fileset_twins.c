/* Each file and each directory is a name: of sorted paths, the parts that the path before did not
 * have. */
#include <string.h>

#include "common/content/fileset.h"
#include "common/content/twins.h"

/* Bytes that two paths have in common, up to the end of a whole part. */
static size_t common(const char *a, const char *b)
{
	size_t n = 0;

	for (size_t i = 0; a[i] && a[i] == b[i]; i++)
		if (a[i] == '/')
			n = i + 1;
	/* both begin with the same parts up to here, which the path before has added */
	return n;
}

int vt_fileset_twins(const struct vt_fileset *fileset, struct vt_err *err)
{
	struct vt_twins twins = VT_TWINS_INIT;
	int rc;

	for (size_t i = 0; i < fileset->n; i++) {
		const char *path = fileset->file[i].path;
		size_t n = i ? common(path, fileset->file[i - 1].path) : 0;

		while (path[n]) {
			n += strcspn(path + n, "/");
			vt_twins_add(&twins, path, n);
			n += path[n] == '/';
		}
	}
	rc = vt_twins_check(&twins, "dir", fileset->root, err);
	vt_twins_release(&twins);
	return rc ? vt_err_prefix(err, "%s", fileset->root) : 0;
}
