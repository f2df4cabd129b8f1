#include "pipelines/spec/spec_extends.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"

/* of files that extend each other */
enum { MAX_DEPTH = 8 };

static const char *name_of(const struct vt_json *pipeline)
{
	return vt_json_text(vt_json_get(vt_json_get(pipeline, "pipeline"), "name"), "");
}

/* RFC 7396.  The result is new; neither argument is changed. */
static struct vt_json *merged(const struct vt_json *target, const struct vt_json *patch)
{
	struct vt_json *out;

	/* a patch that is no object replaces */
	if (patch->type != VT_JSON_OBJECT)
		return vt_json_copy(patch);
	out = vt_json_new(VT_JSON_OBJECT);
	for (size_t i = 0; target && target->type == VT_JSON_OBJECT && i < target->n; i++) {
		/* RFC 7396: null takes a member out */
		const struct vt_json *other = vt_json_get(patch, target->key[i]);

		if (!other || other->type != VT_JSON_NULL)
			vt_json_put(out, target->key[i],
				other ? merged(target->item[i], other)
				      : vt_json_copy(target->item[i]));
	}
	for (size_t i = 0; i < patch->n; i++)
		/* members that only the patch has */
		if (patch->item[i]->type != VT_JSON_NULL && !vt_json_get(out, patch->key[i]))
			vt_json_put(out, patch->key[i], merged(NULL, patch->item[i]));
	return out;
}

static int check_keys(const struct vt_json *file, const char *path, struct vt_err *err)
{
	static const char *const known[] = { "extends", "project", "change", "add" };
	static const enum vt_json_type type[] = { VT_JSON_STRING, VT_JSON_STRING, VT_JSON_OBJECT,
		VT_JSON_ARRAY };
	static const char *const must_be[] = { "a text", "a text", "an object by pipeline name",
		"a list of pipelines" };

	for (size_t i = 0; i < file->n; i++) {
		size_t k = 0;

		while (k < 4 && strcmp(known[k], file->key[i]))
			k++;
		if (k == 4)
			return vt_err_set(err, VT_EDATA,
				"%s: /%s: unknown key beside extends; known are project, change "
				"and add",
				path, file->key[i]);
		if (file->item[i]->type != type[k])
			return vt_err_set(err, VT_EDATA, "%s: /%s: must be %s", path, known[k],
				must_be[k]);
	}
	return 0;
}

/* Every name under `change` must be a pipeline of the base. */
static int check_names(const struct vt_json *base, const struct vt_json *change, const char *path,
	struct vt_err *err)
{
	/* `base` is a list of pipelines */
	for (size_t i = 0; change && i < change->n; i++) {
		size_t k = 0;

		while (k < base->n && strcmp(name_of(base->item[k]), change->key[i]))
			k++;
		if (k == base->n)
			return vt_err_set(err, VT_EDATA,
				"%s: /change/%s: the file it extends has no such pipeline", path,
				change->key[i]);
	}
	return 0;
}

static struct vt_json *apply(const struct vt_json *base, const struct vt_json *file)
{
	const struct vt_json *change = vt_json_get(file, "change"), *add = vt_json_get(file, "add"),
			     *project = vt_json_get(file, "project");
	struct vt_json *out = vt_json_new(VT_JSON_ARRAY);

	for (size_t i = 0; i < base->n; i++) {
		const struct vt_json *patch = vt_json_get(change, name_of(base->item[i]));

		/* null under `change` takes the pipeline out */
		if (!patch || patch->type != VT_JSON_NULL)
			vt_json_push(out,
				patch ? merged(base->item[i], patch) : vt_json_copy(base->item[i]));
	}
	for (size_t i = 0; add && i < add->n; i++)
		vt_json_push(out, vt_json_copy(add->item[i]));
	/* the project's name goes to every pipeline, those of `add` too */
	for (size_t i = 0; project && i < out->n; i++) {
		struct vt_json *patch = vt_json_new(VT_JSON_OBJECT),
			       *named = vt_json_new(VT_JSON_OBJECT),
			       *whole = vt_json_new(VT_JSON_OBJECT), *one;

		vt_json_put_text(named, "name", vt_json_text(project, ""));
		vt_json_put(patch, "project", named);
		vt_json_put(whole, "pipeline", patch);
		one = merged(out->item[i], whole);
		vt_json_free(whole);
		vt_json_free(out->item[i]);
		out->item[i] = one;
	}
	return out;
}

/* The base as a list, itself extended if it extends another. */
static int read_base(struct vt_json **out, const char *base, const char *path, int depth,
	struct vt_err *err)
{
	const char *slash = strrchr(path, '/');
	char *dir, *at;
	int rc;

	/* no path: a spec reads nothing outside of its folder */
	if (!*base || strchr(base, '/') || base[0] == '.')
		return vt_err_set(err, VT_EDATA,
			"%s: /extends: \"%s\" must be the name of a file beside it", path, base);
	if (depth == MAX_DEPTH)
		return vt_err_set(err, VT_EDATA, "%s: /extends: more than %d files in a row", path,
			MAX_DEPTH);
	dir = slash ? vt_xstrndup(path, (size_t)(slash - path) + 1) : vt_xstrdup("");
	at = vt_asprintf("%s%s", dir, base);
	rc = vt_json_read(out, at, err);
	if (rc)
		vt_err_prefix(err, "%s: /extends", path);
	if (!rc && vt_json_get(*out, "extends"))
		/* a base that fails is freed there */
		rc = vt_spec_extend(out, at, depth + 1, err);
	if (!rc && (*out)->type != VT_JSON_ARRAY) {
		vt_json_free(*out);
		rc = vt_err_set(err, VT_EDATA, "%s: /extends: %s is not a list of pipelines", path,
			at);
	}
	free(at);
	free(dir);
	return rc;
}

int vt_spec_extend(struct vt_json **spec, const char *path, int depth, struct vt_err *err)
{
	struct vt_json *file = *spec, *base = NULL;
	int rc = check_keys(file, path, err);

	if (!rc)
		rc = read_base(&base, vt_json_text(vt_json_get(file, "extends"), ""), path, depth,
			err);
	if (!rc) {
		rc = check_names(base, vt_json_get(file, "change"), path, err);
		*spec = rc ? NULL : apply(base, file);
		vt_json_free(base);
	}
	vt_json_free(file);
	if (rc)
		*spec = NULL;
	return rc;
}
