/* select_copy.c - what is kept is copied as it lies. */
#include "common/seg/select.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/fs.h"

static const char refused[] = "quarantine";

static int check_refused(const char *path, struct vt_err *err)
{
	struct vt_strs names = VT_STRS_INIT;
	bool strange = false;
	int rc = vt_fs_list(&names, path, err);

	for (size_t i = 0; !rc && i < names.n; i++) {
		size_t n = strlen(names.v[i]);

		strange |= n < 6 || strcmp(names.v[i] + n - 5, ".json") != 0;
	}
	vt_strs_release(&names);
	if (!rc && strange)
		rc = vt_err_set(err, VT_EDATA,
			"%s: a subject cannot have the name of the directory of refused ones; "
			"rename it",
			path);
	return rc;
}

int vt_select_entries(struct vt_strs *entries, const char *root, struct vt_err *err)
{
	struct vt_strs all = VT_STRS_INIT;
	int rc = vt_fs_list(&all, root, err);

	for (size_t i = 0; !rc && i < all.n; i++) {
		char *path = vt_path_join(root, all.v[i]);

		if (!vt_fs_is_stray(all.v[i]) && vt_fs_is_dir(path)) {
			if (!strcmp(all.v[i], refused))
				rc = check_refused(path, err);
			else
				vt_strs_add(entries, all.v[i]);
		}
		free(path);
	}
	vt_strs_release(&all);
	return rc;
}

struct copying {
	const char *from, *to;
};

static int copy_one(void *ctx, const char *relative, char type, struct vt_err *err)
{
	const struct copying *c = ctx;
	char *from = vt_path_join(c->from, relative), *to = vt_path_join(c->to, relative);
	int rc = 0;

	if (type == 'd')
		rc = vt_fs_mkdirs(to, err);
	else if (type == 'f')
		rc = vt_fs_copy(from, to, 0644, err);
	else
		rc = vt_err_set(err, VT_EDATA, "%s: neither a file nor a directory", from);
	free(from);
	free(to);
	return rc;
}

int vt_select_copy_entry(const char *from, const char *name, const char *to, struct vt_err *err)
{
	char *entry = vt_path_join(from, name), *copy = vt_path_join(to, name);
	int rc = vt_fs_mkdirs(copy, err);

	if (!rc)
		rc = vt_fs_walk(entry, copy_one, &(struct copying){ entry, copy }, err);
	free(entry);
	free(copy);
	return rc;
}

static void add_files(struct vt_strs *files, const struct vt_manifest *manifest,
	const struct vt_strs *patterns, const char *from, const char *subject)
{
	for (size_t i = 0; i < patterns->n; i++) {
		char *file = vt_manifest_fill(manifest, patterns->v[i], subject),
		     *path = file ? vt_path_join(from, file) : NULL;

		if (path && vt_fs_exists(path))
			vt_strs_add(files, file);
		free(path);
		free(file);
	}
}

static int copy_file(const char *from, const char *file, const char *to, struct vt_err *err)
{
	char *source = vt_path_join(from, file), *copy = vt_path_join(to, file),
	     *dir = vt_xstrndup(copy, (size_t)(vt_path_name(copy) - copy - 1));
	int rc = vt_fs_mkdirs(dir, err);

	if (!rc)
		rc = vt_fs_copy(source, copy, 0644, err);
	free(source);
	free(copy);
	free(dir);
	return rc;
}

static void remove_copy(const char *to, const char *file)
{
	char *path = vt_path_join(to, file);

	unlink(path);
	free(path);
}

/* Whatever the manifest may mean by the subject's files; the stage that reads them judges them. */
int vt_select_copy_files(const struct vt_manifest *manifest, const char *from, const char *subject,
	const char *to, struct vt_err *err)
{
	struct vt_strs files = VT_STRS_INIT;
	size_t n;
	int rc = 0;

	for (int c = 0; c < manifest->n_channels; c++)
		add_files(&files, manifest, &manifest->channel[c].files, from, subject);
	add_files(&files, manifest, &manifest->mask_files, from, subject);
	add_files(&files, manifest, &manifest->label_files, from, subject);
	vt_strs_unique(&files);
	if (!files.n)
		rc = vt_err_set(err, VT_ENOINPUT, "subject %s: none of its files is below %s",
			subject, from);
	for (n = 0; !rc && n < files.n; n++)
		rc = copy_file(from, files.v[n], to, err);
	while (rc && n)
		remove_copy(to, files.v[--n]);
	vt_strs_release(&files);
	return rc;
}

int vt_select_copy_refused(bool *was, const char *from, const char *name, const char *to,
	struct vt_err *err)
{
	char *source = vt_asprintf("%s/%s/%s.json", from, refused, name),
	     *dir = vt_path_join(to, refused), *copy = vt_asprintf("%s/%s.json", dir, name);
	int rc = 0;

	*was = vt_fs_exists(source);
	if (*was)
		rc = vt_fs_mkdirs(dir, err);
	if (*was && !rc)
		rc = vt_fs_copy(source, copy, 0644, err);
	free(source);
	free(dir);
	free(copy);
	return rc;
}
