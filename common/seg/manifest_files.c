/* manifest_files.c - from patterns to a cohort's files: who is there, and where each file lies.
 *
 * A pattern's placeholders are {subject} and the fields of the manifest's /subject, such as
 * {patient} and {session}; each stands for at least one character other than '/', the longest that
 * fits.  Subjects are found by the patterns of every channel, so that one whose first channel is
 * missing is found by another.  Two patterns may read one entry in two ways ("{subject}_nifti/.."
 * and "{subject}/.."): the reading whose file exists wins, and of several the one with most
 * letters of its own. */
#include "common/seg/manifest_internal.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/base/log.h"

/* --- placeholders ---------------------------------------------------------------------------- */

void vt_fields_release(struct vt_fields *fields)
{
	for (int i = 0; i < fields->n; i++) {
		free(fields->name[i]);
		free(fields->value[i]);
	}
	fields->n = 0;
}

static void copy_fields(struct vt_fields *to, const struct vt_fields *from)
{
	*to = (struct vt_fields){ .n = from->n };
	for (int i = 0; i < from->n; i++) {
		to->name[i] = vt_xstrdup(from->name[i]);
		to->value[i] = vt_xstrdup(from->value[i]);
	}
}

static const char *value_of(const struct vt_fields *fields, const char *name, size_t n)
{
	for (int i = 0; i < fields->n; i++)
		if (strlen(fields->name[i]) == n && !strncmp(fields->name[i], name, n))
			return fields->value[i];
	return NULL;
}

static void bind(struct vt_fields *fields, const char *name, size_t n, const char *value,
	size_t length)
{
	fields->name[fields->n] = vt_xstrndup(name, n);
	fields->value[fields->n++] = vt_xstrndup(value, length);
}

bool vt_fields_match(struct vt_fields *fields, const char *pattern, const char *text)
{
	for (; *pattern; pattern++, text++) {
		const char *end = *pattern == '{' ? strchr(pattern, '}') : NULL, *value;
		size_t n;

		if (!end) {
			if (*pattern != *text)
				return false;
			continue;
		}
		n = (size_t)(end - pattern - 1);
		value = value_of(fields, pattern + 1, n);
		if (value)
			return !strncmp(text, value, strlen(value)) &&
				vt_fields_match(fields, end + 1, text + strlen(value));
		if (fields->n == VT_MAX_FIELDS)
			return false;
		for (size_t length = strcspn(text, "/"); length; length--) {
			int before = fields->n;

			bind(fields, pattern + 1, n, text, length);
			if (vt_fields_match(fields, end + 1, text + length))
				return true;
			while (fields->n > before) {
				fields->n--;
				free(fields->name[fields->n]);
				free(fields->value[fields->n]);
			}
		}
		return false;
	}
	return !*text;
}

char *vt_fields_fill(const struct vt_fields *fields, const char *pattern)
{
	struct vt_buf b = VT_BUF_INIT;

	while (*pattern) {
		const char *end = *pattern == '{' ? strchr(pattern, '}') : NULL, *value;

		if (!end) {
			vt_buf_add(&b, pattern++, 1);
			continue;
		}
		value = value_of(fields, pattern + 1, (size_t)(end - pattern - 1));
		if (!value) {
			vt_buf_release(&b);
			return NULL;
		}
		vt_buf_str(&b, value);
		pattern = end + 1;
	}
	vt_buf_str(&b, "");
	return vt_buf_detach(&b);
}

/* Fields of a subject's name; what its template does not fit is {subject} alone. */
static void fields_of(struct vt_fields *fields, const struct vt_manifest *manifest,
	const char *subject)
{
	*fields = (struct vt_fields){ .n = 0 };
	if (manifest->subject && !vt_fields_match(fields, manifest->subject, subject))
		vt_fields_release(fields);
	bind(fields, "subject", 7, subject, strlen(subject));
}

/* --- who is there ---------------------------------------------------------------------------- */

/* One reading of an entry as a subject's. */
struct claim {
	char *id, *entry; /* entry: path below the root whose name bound the last field */
	bool real;        /* the channel's file exists */
	size_t letters;   /* of the pattern, outside placeholders */
	char *shape;      /* the pattern up to that entry */
};

struct claims {
	const struct vt_manifest *m;
	const char *root;
	struct claim *v;
	size_t n, cap;
	struct vt_strs hidden; /* directories that would be subjects, were there no dot in front */
};

static size_t letters_of(const char *pattern)
{
	size_t n = 0;

	for (bool inside = false; *pattern; pattern++) {
		inside = *pattern == '{' || (inside && *pattern != '}');
		n += !inside && *pattern != '}';
	}
	return n;
}

/* As many elements of the pattern as the entry has. */
static char *shape_of(const char *pattern, const char *entry)
{
	const char *end = pattern + strcspn(pattern, "/");

	for (; (entry = strchr(entry, '/')) && *end; entry++)
		end += 1 + strcspn(end + 1, "/");
	return vt_xstrndup(pattern, (size_t)(end - pattern));
}

static void add_claim(struct claims *c, const struct vt_fields *fields, const char *entry,
	bool real, const char *pattern)
{
	char *id = vt_fields_fill(fields, "{subject}");

	if (!id && c->m->subject)
		id = vt_fields_fill(fields, c->m->subject);
	if (!id) {
		/* Known in part only: a session without scans, say. */
		id = vt_xstrdup(entry);
		for (char *p = id; *p; p++)
			*p = *p == '/' ? '_' : *p;
	}
	if (!real && !strcmp(id, "quarantine")) {
		free(id);
		return;
	}
	if (c->n == c->cap) {
		c->cap = c->cap ? 2 * c->cap : 256;
		c->v = vt_xrealloc(c->v, c->cap * sizeof(*c->v));
	}
	c->v[c->n++] = (struct claim){ id, vt_xstrdup(entry), real, letters_of(pattern),
		shape_of(pattern, entry) };
}

/* Whether the rest of a pattern has a field that is not bound. */
static bool has_unbound(const struct vt_fields *fields, const char *rest)
{
	for (; (rest = strchr(rest, '{')); rest++) {
		const char *end = strchr(rest, '}');

		if (end && !value_of(fields, rest + 1, (size_t)(end - rest - 1)))
			return true;
	}
	return false;
}

static int walk(struct claims *c, const char *whole, const char *at, const char *rest,
	const struct vt_fields *bound, struct vt_err *err);
static void release_claims(struct claims *c);

/* What an entry that matched its element leads to. */
static int enter(struct claims *c, const char *whole, const char *entry, const char *rest,
	const struct vt_fields *fields, struct vt_err *err)
{
	char *full = vt_path_join(c->root, entry), *tail, *path;
	size_t before = c->n;
	int rc = 0;

	if (!*rest) {
		add_claim(c, fields, entry, true, whole);
	} else if (vt_fs_is_dir(full)) {
		if (has_unbound(fields, rest)) {
			rc = walk(c, whole, entry, rest, fields, err);
			if (!rc && c->n == before)
				add_claim(c, fields, entry, false, whole);
		} else {
			tail = vt_fields_fill(fields, rest);
			path = vt_path_join(full, tail);
			add_claim(c, fields, entry, vt_fs_exists(path), whole);
			free(path);
			free(tail);
		}
	}
	free(full);
	return rc;
}

/* A directory whose name begins with a dot is nobody; said where it holds a subject's file. */
static void note_hidden(struct claims *c, const char *whole, const char *at, const char *name,
	const char *element, const char *behind, const struct vt_fields *bound)
{
	struct claims apart = { .m = c->m, .root = c->root };
	struct vt_err none = VT_ERR_INIT;
	struct vt_fields f;
	char *entry = *at ? vt_path_join(at, name) : vt_xstrdup(name);

	copy_fields(&f, bound);
	if (name[0] == '.' && *behind && vt_fields_match(&f, element, name))
		enter(&apart, whole, entry, behind, &f, &none);
	for (size_t i = 0; i < apart.n; i++)
		if (apart.v[i].real) {
			vt_strs_add(&c->hidden, entry);
			break;
		}
	vt_fields_release(&f);
	release_claims(&apart);
	free(entry);
}

/* The entries below root/at that the first element of rest finds. */
static int walk(struct claims *c, const char *whole, const char *at, const char *rest,
	const struct vt_fields *bound, struct vt_err *err)
{
	size_t n = strcspn(rest, "/");
	char *element = vt_xstrndup(rest, n),
	     *dir = *at ? vt_path_join(c->root, at) : vt_xstrdup(c->root);
	const char *behind = rest[n] ? rest + n + 1 : rest + n;
	struct vt_strs names = VT_STRS_INIT;
	int rc = 0;

	if (!has_unbound(bound, element)) {
		char *name = vt_fields_fill(bound, element);

		vt_strs_add(&names, name);
		free(name);
	} else if (vt_fs_is_dir(dir)) {
		rc = vt_fs_list(&names, dir, err);
	}
	for (size_t i = 0; !rc && i < names.n; i++) {
		struct vt_fields f;
		char *entry;

		if (vt_fs_is_stray(names.v[i])) {
			note_hidden(c, whole, at, names.v[i], element, behind, bound);
			continue;
		}
		copy_fields(&f, bound);
		entry = *at ? vt_path_join(at, names.v[i]) : vt_xstrdup(names.v[i]);
		if (vt_fields_match(&f, element, names.v[i]))
			rc = enter(c, whole, entry, behind, &f, err);
		free(entry);
		vt_fields_release(&f);
	}
	vt_strs_release(&names);
	free(element);
	free(dir);
	return rc;
}

/* By entry; what exists first, then the more specific pattern, then the name. */
static int by_entry(const void *a, const void *b)
{
	const struct claim *p = a, *q = b;
	int order = strcmp(p->entry, q->entry);

	if (order)
		return order;
	if (p->real != q->real)
		return p->real ? -1 : 1;
	if (p->letters != q->letters)
		return p->letters > q->letters ? -1 : 1;
	return strcmp(p->id, q->id);
}

/* Whether something that exists lies below the entry. */
static bool holds_real(const struct claims *c, size_t i)
{
	size_t n = strlen(c->v[i].entry);

	for (size_t k = i + 1; k < c->n && !strncmp(c->v[k].entry, c->v[i].entry, n); k++)
		if (c->v[k].entry[n] == '/' && c->v[k].real)
			return true;
	return false;
}

/* A directory is a subject that lacks a file only where its likes have theirs: beside
 * imagesTr/{subject}.nii.gz, {subject}/ct.nii.gz says nothing of labelsTr. */
static bool is_laid_out_so(const struct vt_strs *shapes, const struct claim *weak)
{
	size_t n = strlen(weak->shape);

	for (size_t i = 0; i < shapes->n; i++)
		if (!strncmp(shapes->v[i], weak->shape, n) &&
			(!shapes->v[i][n] || shapes->v[i][n] == '/'))
			return true;
	return !shapes->n;
}

static void settle(struct vt_strs *ids, struct claims *c)
{
	struct vt_strs shapes = VT_STRS_INIT;

	for (size_t i = 0; i < c->n; i++)
		if (c->v[i].real && (!shapes.n || strcmp(shapes.v[shapes.n - 1], c->v[i].shape)))
			vt_strs_add(&shapes, c->v[i].shape);
	vt_strs_unique(&shapes);
	if (c->n > 1)
		qsort(c->v, c->n, sizeof(*c->v), by_entry);
	for (size_t i = 0; i < c->n; i++) {
		const struct claim *one = &c->v[i];

		if (i && !strcmp(c->v[i - 1].entry, one->entry))
			continue;
		if (one->real || (is_laid_out_so(&shapes, one) && !holds_real(c, i)))
			vt_strs_add(ids, one->id);
	}
	vt_strs_release(&shapes);
	vt_strs_unique(ids);
}

/* A file that lies beside the subjects comes alone where every entry is a datum: bad input, which
 * a pipeline passes over. */
static int no_subject(const struct vt_manifest *manifest, const char *root, struct vt_err *err)
{
	struct vt_strs names = VT_STRS_INIT;
	int rc = vt_fs_list(&names, root, err);

	if (!rc && names.n)
		rc = vt_err_set(err, VT_EDATA,
			"%s: no subject matches %s of manifest %s; it holds %s%s", root,
			manifest->channel[0].files.v[0], manifest->name, names.v[0],
			names.n > 1 ? " and more" : "");
	else if (!rc)
		rc = vt_err_set(err, VT_ENOINPUT,
			"%s: is empty; %s of manifest %s would be a subject", root,
			manifest->channel[0].files.v[0], manifest->name);
	vt_strs_release(&names);
	return rc;
}

static void release_claims(struct claims *c)
{
	for (size_t i = 0; i < c->n; i++) {
		free(c->v[i].id);
		free(c->v[i].entry);
		free(c->v[i].shape);
	}
	free(c->v);
	vt_strs_release(&c->hidden);
}

static int scan(struct vt_strs *ids, const struct vt_manifest *manifest,
	const struct vt_strs *patterns, const char *root, struct vt_err *err)
{
	static const struct vt_fields none;
	struct claims c = { .m = manifest, .root = root };
	int rc = 0;

	for (size_t i = 0; !rc && i < patterns->n; i++)
		rc = walk(&c, patterns->v[i], "", patterns->v[i], &none, err);
	settle(ids, &c);
	vt_strs_unique(&c.hidden);
	for (size_t i = 0; i < c.hidden.n; i++)
		vt_log(VT_LOG_WARN, "hidden",
			"path=\"%s/%s\" note=\"its name begins with a dot, so it is no subject; "
			"rename it if it is one\"",
			root, c.hidden.v[i]);
	release_claims(&c);
	return rc;
}

int vt_manifest_subjects(struct vt_strs *ids, const struct vt_manifest *manifest, const char *root,
	struct vt_err *err)
{
	struct vt_strs patterns = VT_STRS_INIT;
	int rc;

	for (int k = 0; k < manifest->n_channels; k++)
		for (size_t i = 0; i < manifest->channel[k].files.n; i++)
			vt_strs_add(&patterns, manifest->channel[k].files.v[i]);
	vt_strs_unique(&patterns);
	rc = scan(ids, manifest, &patterns, root, err);
	vt_strs_release(&patterns);
	return rc || ids->n ? rc : no_subject(manifest, root, err);
}

int vt_manifest_matching(struct vt_strs *ids, const struct vt_manifest *manifest,
	const struct vt_strs *patterns, const char *root, struct vt_err *err)
{
	return scan(ids, manifest, patterns, root, err);
}

int vt_manifest_labeled(struct vt_strs *ids, const struct vt_manifest *manifest, const char *root,
	struct vt_err *err)
{
	return scan(ids, manifest, &manifest->label_files, root, err);
}

/* --- where each file lies ------------------------------------------------------------------ */

/* pattern (may be NULL): the one that found the file. */
static int find_file(char **path, const char **pattern, const struct vt_manifest *manifest,
	const struct vt_strs *patterns, const char *root, const char *subject, const char *what,
	struct vt_err *err)
{
	const char *used = NULL;
	struct vt_fields f;
	int rc = 0;

	*path = NULL;
	fields_of(&f, manifest, subject);
	for (size_t i = 0; !*path && i < patterns->n; i++) {
		char *rel = vt_fields_fill(&f, patterns->v[i]);
		char *full = rel ? vt_path_join(root, rel) : NULL;

		free(rel);
		if (full && vt_fs_exists(full)) {
			*path = full;
			used = patterns->v[i];
		} else {
			free(full);
		}
	}
	if (pattern)
		*pattern = used;
	if (!*path && manifest->subject && f.n == 1)
		rc = vt_err_set(err, VT_ENOINPUT,
			"subject %s: no %s: the name is not of the form %s of manifest %s, and %s "
			"names none below %s",
			subject, what, manifest->subject, manifest->name, patterns->v[0], root);
	else if (!*path)
		rc = vt_err_set(err, VT_ENOINPUT,
			"subject %s: no %s: %s does not exist below %s; add the file or correct "
			"its pattern in manifest %s",
			subject, what, patterns->v[0], root, manifest->name);
	vt_fields_release(&f);
	return rc;
}

char *vt_manifest_fill(const struct vt_manifest *manifest, const char *pattern, const char *subject)
{
	struct vt_fields f;
	char *filled;

	fields_of(&f, manifest, subject);
	filled = vt_fields_fill(&f, pattern);
	vt_fields_release(&f);
	return filled;
}

static int check_twice(const struct vt_manifest *manifest, const char *root, const char *path,
	const char *subject, int channel, struct vt_err *err)
{
	for (int i = 0; i < channel; i++) {
		struct vt_err unseen = VT_ERR_INIT;
		char *other = NULL;
		bool same = manifest->channel[i].frame == manifest->channel[channel].frame &&
			!find_file(&other, NULL, manifest, &manifest->channel[i].files, root,
				subject, "", &unseen) &&
			!strcmp(other, path);

		free(other);
		if (same)
			return vt_err_set(err, VT_EDATA,
				"subject %s: manifest %s takes %s as %s and as %s; give each "
				"channel its own file or \"frame\"",
				subject, manifest->name, path, manifest->channel[i].role,
				manifest->channel[channel].role);
	}
	return 0;
}

int vt_manifest_channel(char **path, const struct vt_manifest *manifest, const char *root,
	const char *subject, int channel, struct vt_err *err)
{
	const struct vt_channel *c = &manifest->channel[channel];
	char *what = vt_asprintf("%s scan", c->role);
	const char *pattern = NULL;
	int rc = find_file(path, &pattern, manifest, &c->files, root, subject, what, err);

	free(what);
	if (!rc)
		rc = vt_manifest_check_name(manifest, pattern, *path, subject, channel, err);
	if (!rc)
		rc = check_twice(manifest, root, *path, subject, channel, err);
	if (rc) {
		free(*path);
		*path = NULL;
	}
	return rc;
}

int vt_manifest_mask(char **path, const struct vt_manifest *manifest, const char *root,
	const char *subject, struct vt_err *err)
{
	struct vt_err none = VT_ERR_INIT;
	int rc;

	*path = NULL;
	if (!manifest->mask_files.n)
		return 0;
	rc = find_file(path, NULL, manifest, &manifest->mask_files, root, subject, "brain mask",
		&none);
	if (rc && manifest->mask_required)
		*err = none;
	return rc && manifest->mask_required ? rc : 0;
}

int vt_manifest_label(char **path, const struct vt_manifest *manifest, const char *root,
	const char *subject, struct vt_err *err)
{
	if (!manifest->label_files.n)
		return vt_err_set(err, VT_ENOINPUT, "manifest %s names no label files",
			manifest->name);
	return find_file(path, NULL, manifest, &manifest->label_files, root, subject, "label map",
		err);
}
