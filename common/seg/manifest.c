#include "common/seg/manifest.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/base/rng.h"

static const char place[] = "{subject}";

void vt_manifest_free(struct vt_manifest *m)
{
	if (!m)
		return;
	free(m->name);
	for (int i = 0; i < VT_MAX_CHANNELS; i++) {
		free(m->channel[i].role);
		vt_strs_release(&m->channel[i].files);
	}
	vt_strs_release(&m->label_files);
	vt_strs_release(&m->mask_files);
	for (int i = 0; i < VT_MAX_LABELS; i++)
		free(m->label[i]);
	for (int i = 0; i < VT_MAX_REGIONS; i++)
		free(m->region[i].name);
	vt_json_free(m->json);
	free(m);
}

static int wrong(const char *origin, const char *pointer, const char *what, struct vt_err *err)
{
	return vt_err_set(err, VT_EDATA, "%s: %s: %s", origin, pointer, what);
}

static int known_keys(const struct vt_json *j, const char *keys, const char *origin,
	const char *pointer, struct vt_err *err)
{
	if (j && j->type != VT_JSON_OBJECT)
		return wrong(origin, pointer, "must be a JSON object", err);
	for (size_t i = 0; j && i < j->n; i++) {
		char *word = vt_asprintf(" %s ", j->key[i]);
		bool known = strstr(keys, word) != NULL;

		free(word);
		if (!known)
			return vt_err_set(err, VT_EDATA, "%s: %s/%s: unknown key; there are%s",
				origin, pointer, j->key[i], keys);
	}
	return 0;
}

static int read_patterns(struct vt_strs *out, const struct vt_json *files, const char *origin,
	const char *pointer, struct vt_err *err)
{
	if (!files || files->type != VT_JSON_ARRAY || !files->n)
		return wrong(origin, pointer,
			"must be a list of patterns such as \"{subject}/t1.nii.gz\"", err);
	for (size_t i = 0; i < files->n; i++) {
		const char *p = vt_json_text(files->item[i], "");

		if (!strstr(p, place) || p[0] == '/' || strstr(p, ".."))
			return wrong(origin, pointer,
				"each pattern is a relative path that holds {subject}", err);
		vt_strs_add(out, p);
	}
	return 0;
}

static int read_channels(struct vt_manifest *m, const struct vt_json *j, const char *origin,
	struct vt_err *err)
{
	const struct vt_json *list = vt_json_get(j, "channels");

	if (!list || list->type != VT_JSON_ARRAY || !list->n || list->n > VT_MAX_CHANNELS)
		return wrong(origin, "/channels", "must be a list of 1 to 16 channels", err);
	for (size_t i = 0; i < list->n; i++) {
		const char *role = vt_json_text(vt_json_get(list->item[i], "role"), "");
		char *pointer = vt_asprintf("/channels/%zu", i);
		int64_t frame = vt_json_integer(vt_json_get(list->item[i], "frame"),
			vt_json_get(list->item[i], "frame") ? -2 : -1);
		int rc = known_keys(list->item[i], " role files frame ", origin, pointer, err);

		if (!rc && (!*role || !vt_path_is_portable(role) || strchr(role, '/')))
			rc = wrong(origin, pointer, "needs a \"role\" such as \"flair\"", err);
		for (int k = 0; !rc && k < m->n_channels; k++)
			if (!strcmp(m->channel[k].role, role))
				rc = wrong(origin, pointer, "this role stands twice", err);
		if (!rc && (frame < -1 || frame > 32767))
			rc = wrong(origin, pointer,
				"\"frame\" is the volume's number in a 4-D file, from 0", err);
		if (!rc) {
			m->channel[m->n_channels].role = vt_xstrdup(role);
			m->channel[m->n_channels].frame = (int)frame;
			rc = read_patterns(&m->channel[m->n_channels++].files,
				vt_json_get(list->item[i], "files"), origin, pointer, err);
		}
		free(pointer);
		if (rc)
			return rc;
	}
	return 0;
}

/* The ignored value is known without a name, and lies in no region. */
static int read_ignore(struct vt_manifest *m, const struct vt_json *ignore, const char *origin,
	struct vt_err *err)
{
	int64_t v = vt_json_integer(ignore, -1);

	if (!ignore)
		return 0;
	if (v <= 0 || v >= VT_MAX_LABELS)
		return wrong(origin, "/label/ignore", "is one label value from 1 to 255", err);
	m->ignore = (int)v;
	if (!m->label[v])
		m->label[v] = vt_xstrdup("ignored");
	return 0;
}

static int read_labels(struct vt_manifest *m, const struct vt_json *j, const char *origin,
	struct vt_err *err)
{
	const struct vt_json *files = vt_json_pointer(j, "/label/files"),
			     *values = vt_json_pointer(j, "/label/values");

	if (!vt_json_get(j, "label"))
		return 0;
	if (known_keys(vt_json_get(j, "label"), " files values ignore ", origin, "/label", err) ||
		read_patterns(&m->label_files, files, origin, "/label/files", err))
		return err->code;
	if (values && values->type != VT_JSON_OBJECT)
		return wrong(origin, "/label/values", "maps whole numbers to names", err);
	for (size_t i = 0; values && i < values->n; i++) {
		char *end;
		long v = strtol(values->key[i], &end, 10);

		if (*end || v < 0 || v >= VT_MAX_LABELS || values->item[i]->type != VT_JSON_STRING)
			return wrong(origin, "/label/values",
				"maps whole numbers from 0 to 255 to names", err);
		if (m->label[v])
			return wrong(origin, "/label/values", "names a value twice", err);
		m->label[v] = vt_xstrdup(values->item[i]->string);
	}
	if (!m->label[0])
		return wrong(origin, "/label/values", "must name the value 0 (background)", err);
	return read_ignore(m, vt_json_pointer(j, "/label/ignore"), origin, err);
}

static int read_mask(struct vt_manifest *m, const struct vt_json *j, const char *origin,
	struct vt_err *err)
{
	const struct vt_json *mask = vt_json_get(j, "mask");

	if (!mask)
		return 0;
	m->mask_required = vt_json_true(vt_json_get(mask, "required"), true);
	if (known_keys(mask, " files required ", origin, "/mask", err))
		return err->code;
	return read_patterns(&m->mask_files, vt_json_get(mask, "files"), origin, "/mask/files",
		err);
}

static int read_own_value(struct vt_region *r, const struct vt_json *value, const char *origin,
	struct vt_err *err)
{
	int64_t v = vt_json_integer(value, -1);

	if (!value)
		return 0;
	if (v <= 0 || v >= VT_MAX_LABELS || !r->has[v])
		return wrong(origin, "/regions", "\"value\" is one of the region's values", err);
	r->value = (int)v;
	return 0;
}

static int read_regions(struct vt_manifest *m, const struct vt_json *j, const char *origin,
	struct vt_err *err)
{
	const struct vt_json *list = vt_json_get(j, "regions");

	if ((m->label_files.n || list) &&
		(vt_json_length(list) < 1 || vt_json_length(list) > VT_MAX_REGIONS))
		return wrong(origin, "/regions",
			"must be a list of 1 to 8 regions {\"name\", \"values\"}", err);
	for (size_t i = 0; list && i < list->n; i++) {
		struct vt_region *r = &m->region[m->n_regions++];
		const struct vt_json *values = vt_json_get(list->item[i], "values");

		r->name = vt_xstrdup(vt_json_text(vt_json_get(list->item[i], "name"), ""));
		if (!*r->name || !vt_json_length(values))
			return wrong(origin, "/regions",
				"each region has a \"name\" and a list of \"values\"", err);
		for (size_t k = 0; k < values->n; k++) {
			int64_t v = vt_json_integer(values->item[k], -1);

			if (v <= 0 || v >= VT_MAX_LABELS || !m->label[v])
				return vt_err_set(err, VT_EDATA,
					"%s: /regions/%zu/values/%zu: %lld is not a value of "
					"/label/values",
					origin, i, k, (long long)v);
			r->has[v] = true;
		}
		if (m->ignore && r->has[m->ignore])
			return wrong(origin, "/regions", "a region holds the ignored label value",
				err);
		if (read_own_value(r, vt_json_get(list->item[i], "value"), origin, err))
			return err->code;
	}
	if (m->ignore && m->n_regions == VT_MAX_REGIONS)
		return wrong(origin, "/label/ignore", "needs room: at most 7 regions beside it",
			err);
	return 0;
}

static int read_split(struct vt_manifest *m, const struct vt_json *j, const char *origin,
	struct vt_err *err)
{
	const struct vt_json *s = vt_json_get(j, "split");

	if (known_keys(s, " seed test folds ", origin, "/split", err))
		return err->code;
	m->seed = (uint64_t)vt_json_integer(vt_json_get(s, "seed"), 1);
	m->test = vt_json_number(vt_json_get(s, "test"), 0.2);
	m->folds = (int)vt_json_integer(vt_json_get(s, "folds"), 5);
	if (m->test < 0 || m->test > 0.9 || m->folds < 2 || m->folds > 20)
		return wrong(origin, "/split", "test lies from 0 to 0.9 and folds from 2 to 20",
			err);
	return 0;
}

int vt_manifest_parse(struct vt_manifest **out, const struct vt_json *j, const char *origin,
	struct vt_err *err)
{
	struct vt_manifest *m = vt_xcalloc(1, sizeof(*m));
	int rc = known_keys(j,
		" format name description source channels mask label regions spacing_mm split ",
		origin, "", err);

	m->name = vt_xstrdup(vt_json_text(vt_json_get(j, "name"), ""));
	m->json = vt_json_copy(j);
	if (!rc && vt_json_integer(vt_json_get(j, "format"), 0) != 1)
		rc = wrong(origin, "/format", "must be 1", err);
	if (!rc && !*m->name)
		rc = wrong(origin, "/name", "is missing", err);
	if (!rc)
		rc = read_channels(m, j, origin, err);
	if (!rc)
		rc = read_mask(m, j, origin, err);
	if (!rc)
		rc = read_labels(m, j, origin, err);
	if (!rc)
		rc = read_regions(m, j, origin, err);
	if (!rc)
		rc = read_split(m, j, origin, err);
	if (rc)
		vt_manifest_free(m);
	else
		*out = m;
	return rc;
}

int vt_manifest_read(struct vt_manifest **out, const char *path, struct vt_err *err)
{
	struct vt_json *j = NULL;
	int rc = vt_json_read(&j, path, err);

	if (!rc)
		rc = vt_manifest_parse(out, j, path, err);
	vt_json_free(j);
	return rc;
}

/* --- files --------------------------------------------------------------- */

char *vt_manifest_fill(const char *pattern, const char *subject)
{
	struct vt_buf b = VT_BUF_INIT;
	const char *at;

	for (; (at = strstr(pattern, place)); pattern = at + sizeof(place) - 1) {
		vt_buf_add(&b, pattern, (size_t)(at - pattern));
		vt_buf_str(&b, subject);
	}
	vt_buf_str(&b, pattern);
	return vt_buf_detach(&b);
}

/* Adds the subjects that pattern finds: what fills {subject} in the first path element that
 * holds it. */
static int scan_pattern(struct vt_strs *ids, const char *root, const char *pattern,
	struct vt_err *err)
{
	const char *at = strstr(pattern, place), *begin = at, *tail = at + sizeof(place) - 1;
	size_t tail_len = strcspn(tail, "/");
	char *dir, *head;
	struct vt_strs names = VT_STRS_INIT;
	int rc;

	while (begin > pattern && begin[-1] != '/')
		begin--;
	head = vt_xstrndup(pattern, (size_t)(begin - pattern));
	dir = *head ? vt_path_join(root, head) : vt_xstrdup(root);
	rc = vt_fs_is_dir(dir) ? vt_fs_list(&names, dir, err) : 0;
	for (size_t i = 0; !rc && i < names.n; i++) {
		size_t n = strlen(names.v[i]), before = (size_t)(at - begin);
		char *id, *path, *full, *own;

		if (names.v[i][0] == '.' || n <= before + tail_len ||
			strncmp(names.v[i], begin, before) ||
			strncmp(names.v[i] + n - tail_len, tail, tail_len))
			continue;
		id = vt_xstrndup(names.v[i] + before, n - before - tail_len);
		path = vt_manifest_fill(pattern, id);
		full = vt_path_join(root, path);
		own = vt_path_join(dir, names.v[i]);
		/* A plain file beside the subjects' directories (a README, a table) is no
		 * subject. */
		if (tail[tail_len] == '/' ? vt_fs_is_dir(own) && strcmp(id, "quarantine")
					  : vt_fs_exists(full))
			vt_strs_add(ids, id);
		free(own);
		free(full);
		free(path);
		free(id);
	}
	vt_strs_release(&names);
	free(dir);
	free(head);
	return rc;
}

/* A file that lies beside the subjects comes alone where every entry is a datum: bad input,
 * which a pipeline passes over. */
static int no_subject(const struct vt_manifest *m, const char *root, struct vt_err *err)
{
	struct vt_strs names = VT_STRS_INIT;
	int rc = vt_fs_list(&names, root, err);

	if (!rc && names.n)
		rc = vt_err_set(err, VT_EDATA,
			"%s: no subject matches %s of manifest %s; it holds %s%s", root,
			m->channel[0].files.v[0], m->name, names.v[0],
			names.n > 1 ? " and more" : "");
	else if (!rc)
		rc = vt_err_set(err, VT_ENOINPUT,
			"%s: is empty; %s of manifest %s would be a subject", root,
			m->channel[0].files.v[0], m->name);
	vt_strs_release(&names);
	return rc;
}

static int scan_patterns(struct vt_strs *ids, const struct vt_strs *patterns, const char *root,
	struct vt_err *err)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < patterns->n; i++)
		rc = scan_pattern(ids, root, patterns->v[i], err);
	vt_strs_unique(ids);
	return rc;
}

int vt_manifest_subjects(struct vt_strs *ids, const struct vt_manifest *m, const char *root,
	struct vt_err *err)
{
	int rc = scan_patterns(ids, &m->channel[0].files, root, err);

	return rc || ids->n ? rc : no_subject(m, root, err);
}

int vt_manifest_labeled(struct vt_strs *ids, const struct vt_manifest *m, const char *root,
	struct vt_err *err)
{
	return scan_patterns(ids, &m->label_files, root, err);
}

static int find(char **path, const struct vt_strs *patterns, const char *root, const char *subject,
	const char *what, const char *manifest, struct vt_err *err)
{
	for (size_t i = 0; i < patterns->n; i++) {
		char *rel = vt_manifest_fill(patterns->v[i], subject),
		     *full = vt_path_join(root, rel);

		free(rel);
		if (vt_fs_exists(full)) {
			*path = full;
			return 0;
		}
		free(full);
	}
	return vt_err_set(err, VT_ENOINPUT,
		"subject %s: no %s: %s does not exist below %s; add the file or correct "
		"its pattern in manifest %s",
		subject, what, patterns->v[0], root, manifest);
}

static bool word_char(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z');
}

/* Whether the file name holds `role` as a word of its own, in any case. */
static bool names_role(const char *path, const char *role)
{
	const char *base = strrchr(path, '/');
	size_t n = strlen(role);
	bool found = false;
	char *low = vt_xstrdup(base ? base + 1 : path);

	for (char *p = low; *p; p++)
		*p = *p >= 'A' && *p <= 'Z' ? (char)(*p - 'A' + 'a') : *p;
	for (char *p = low; (p = strstr(p, role)); p++)
		found |= (p == low || !word_char(p[-1])) && !word_char(p[n]);
	free(low);
	return found;
}

/* In a file of several channels the name says nothing of one. */
static int check_name(const struct vt_manifest *m, const char *path, const char *subject,
	int channel, struct vt_err *err)
{
	const struct vt_channel *c = &m->channel[channel];

	for (int i = 0; i < m->n_channels && c->frame < 0; i++)
		if (i != channel && names_role(path, m->channel[i].role) &&
			!names_role(path, c->role))
			return vt_err_set(err, VT_EDATA,
				"subject %s: manifest %s takes %s as %s, but its name says "
				"%s; correct the order of the channels",
				subject, m->name, path, c->role, m->channel[i].role);
	return 0;
}

static int check_twice(const struct vt_manifest *m, const char *root, const char *path,
	const char *subject, int channel, struct vt_err *err)
{
	for (int i = 0; i < channel; i++) {
		struct vt_err unseen = VT_ERR_INIT;
		char *other = NULL;
		bool same = m->channel[i].frame == m->channel[channel].frame &&
			!find(&other, &m->channel[i].files, root, subject, "", m->name, &unseen) &&
			!strcmp(other, path);

		free(other);
		if (same)
			return vt_err_set(err, VT_EDATA,
				"subject %s: manifest %s takes %s as %s and as %s; give each "
				"channel its own file or \"frame\"",
				subject, m->name, path, m->channel[i].role,
				m->channel[channel].role);
	}
	return 0;
}

int vt_manifest_channel(char **path, const struct vt_manifest *m, const char *root,
	const char *subject, int channel, struct vt_err *err)
{
	const struct vt_channel *c = &m->channel[channel];
	char *what = vt_asprintf("%s scan", c->role);
	int rc = find(path, &c->files, root, subject, what, m->name, err);

	free(what);
	if (!rc)
		rc = check_name(m, *path, subject, channel, err);
	if (!rc)
		rc = check_twice(m, root, *path, subject, channel, err);
	if (rc) {
		free(*path);
		*path = NULL;
	}
	return rc;
}

int vt_manifest_mask(char **path, const struct vt_manifest *m, const char *root,
	const char *subject, struct vt_err *err)
{
	struct vt_err none = VT_ERR_INIT;
	int rc;

	*path = NULL;
	if (!m->mask_files.n)
		return 0;
	rc = find(path, &m->mask_files, root, subject, "brain mask", m->name, &none);
	if (rc && m->mask_required)
		*err = none;
	return rc && m->mask_required ? rc : 0;
}

int vt_manifest_label(char **path, const struct vt_manifest *m, const char *root,
	const char *subject, struct vt_err *err)
{
	if (!m->label_files.n)
		return vt_err_set(err, VT_ENOINPUT, "manifest %s names no label files", m->name);
	return find(path, &m->label_files, root, subject, "label map", m->name, err);
}

struct vt_split vt_manifest_split(const struct vt_manifest *m, const char *subject)
{
	struct vt_rng r = vt_rng_stream(m->seed, "split", vt_rng_hash(subject), 0, 0);
	double u = vt_rng_uniform(&r);

	return (struct vt_split){ u < m->test, (int)vt_rng_below(&r, (uint32_t)m->folds) };
}
