#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/fs.h"
#include "pipelines/runner/content.h"
#include "pipelines/runner/datum.h"

static char *own_directory(void)
{
	char path[4096];
	ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
	path[n > 0 ? n : 0] = 0;
	char *slash = strrchr(path, '/');
	if (slash)
		*slash = 0;
	return vt_xstrdup(path);
}

static char *executable(const char *dir, size_t n, const char *name)
{
	char *path = vt_asprintf("%.*s/%s", (int)n, dir, name);
	if (!access(path, X_OK) && !vt_fs_is_dir(path))
		return path;
	free(path);
	return NULL;
}

char *vt_program_beside(const char *name)
{
	char *dir = own_directory(), *found = executable(dir, strlen(dir), name);
	free(dir);
	return found;
}

char *vt_program_find(const char *name)
{
	const char *slash = strrchr(name, '/'), *base = slash ? slash + 1 : name,
		   *path = getenv("PATH");
	char *found = vt_program_beside(base);
	if (found || !*base)
		return found;
	if (slash && !access(name, X_OK))
		return vt_fs_is_dir(name) ? NULL : vt_xstrdup(name);
	for (const char *p = path ? path : "/usr/bin:/bin"; !found && *p;) {
		size_t n = strcspn(p, ":");
		found = executable(p, n, base);
		p += n + (p[n] == ':');
	}
	return found;
}

/* argv[0], and every further word that names an existing file outside /pfs: scripts are code
 * too. */
static int hash_executables(struct vt_content *c, const struct vt_json *cmd, struct vt_err *err)
{
	for (size_t i = 0; cmd && i < cmd->n; i++) {
		const char *word = vt_json_text(cmd->item[i], "");
		struct vt_hash h;
		char *path = i == 0 ? vt_program_find(word) : NULL;
		if (i > 0 && word[0] == '/' && strncmp(word, "/pfs", 4) && !vt_fs_is_dir(word) &&
			vt_fs_exists(word))
			path = vt_xstrdup(word);
		if (i == 0 && !path)
			return vt_err_set(err, VT_ENOINPUT,
				"program \"%s\" is neither beside voxtrail, nor at that "
				"path, nor on PATH",
				word);
		if (!path)
			continue;
		int rc = vt_content_file(&h, NULL, path, err);
		free(path);
		if (rc)
			return rc;
		vt_content_add(c, h.b, sizeof h.b);
	}
	return 0;
}

int vt_transform_hash(struct vt_hash *out, const struct vt_pipeline *p, struct vt_err *err)
{
	static const char *const counted[] = { "cmd", "stdin", "errCmd", "errStdin", "env", "user",
		"workingDir", "acceptReturnCode", "image" };
	struct vt_content c;
	struct vt_buf b = VT_BUF_INIT;
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT);
	for (size_t i = 0; i < sizeof counted / sizeof *counted; i++)
		if (vt_json_get(p->transform, counted[i]))
			vt_json_put(j, counted[i],
				vt_json_copy(vt_json_get(p->transform, counted[i])));
	vt_json_put_text(j, "salt", vt_json_text(vt_json_get(p->json, "salt"), ""));
	vt_content_begin(&c);
	int rc = vt_json_canonical(&b, j, err);
	if (!rc) {
		vt_content_text(&c, b.data);
		rc = hash_executables(&c, vt_json_get(p->transform, "cmd"), err);
	}
	if (!rc && vt_json_get(p->transform, "errCmd"))
		rc = hash_executables(&c, vt_json_get(p->transform, "errCmd"), err);
	vt_content_end(&c, out);
	vt_json_free(j);
	vt_buf_release(&b);
	return rc ? vt_err_prefix(err, "pipeline %s", p->name) : 0;
}

void vt_datum_key(struct vt_hash *out, const struct vt_datum *d, const struct vt_hash *transform)
{
	struct vt_content c;
	vt_content_begin(&c);
	vt_content_text(&c, "datum1");
	vt_content_add(&c, transform->b, sizeof transform->b);
	for (size_t i = 0; i < d->n; i++) {
		const struct vt_datum_file *f = &d->file[i];
		if (f->in->warm)
			continue;
		vt_content_text(&c, f->in->name);
		vt_content_text(&c, f->in->repo);
		vt_content_text(&c, f->entry->path);
		vt_content_add(&c, f->in->reference ? "r" : f->in->empty_files ? "e" : "c", 1);
		if (!f->in->reference)
			vt_content_add(&c, f->entry->hash.b, sizeof f->entry->hash.b);
	}
	vt_content_end(&c, out);
}
