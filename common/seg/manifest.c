#include "common/seg/manifest.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/seg/manifest_internal.h"

void vt_manifest_free(struct vt_manifest *manifest)
{
	if (!manifest)
		return;
	free(manifest->name);
	for (int i = 0; i < VT_MAX_CHANNELS; i++) {
		free(manifest->channel[i].role);
		vt_strs_release(&manifest->channel[i].files);
	}
	vt_strs_release(&manifest->label_files);
	vt_strs_release(&manifest->mask_files);
	vt_strs_release(&manifest->classes);
	for (int i = 0; i < VT_MAX_LABELS; i++)
		free(manifest->label[i]);
	for (int i = 0; i < VT_MAX_REGIONS; i++)
		free(manifest->region[i].name);
	free(manifest->subject);
	free(manifest->map);
	vt_json_free(manifest->json);
	free(manifest);
}

static int wrong(const char *origin, const char *pointer, const char *what, struct vt_err *err)
{
	return vt_err_set(err, VT_EDATA, "%s: %s: %s", origin, pointer, what);
}

/* The value of a key must be of a kind; absent is allowed. */
static int want_kind(const struct vt_json *j, const char *key, enum vt_json_type kind,
	const char *origin, const char *pointer, const char *what, struct vt_err *err)
{
	const struct vt_json *v = vt_json_get(j, key);
	bool good = !v || v->type == kind || (kind == VT_JSON_REAL && v->type == VT_JSON_INT);

	return good
		? 0
		: vt_err_set(err, VT_EDATA, "%s: %s/%s: must be %s", origin, pointer, key, what);
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

int vt_manifest_check_pattern(const struct vt_manifest *manifest, const char *p, const char *origin,
	const char *pointer, struct vt_err *err)
{
	int holders = 0;

	if (p[0] == '/' || strstr(p, ".."))
		return wrong(origin, pointer, "each pattern is a relative path without \"..\"",
			err);
	for (const char *at = p; (at = strchr(at, '{')); at++, holders++) {
		const char *end = strchr(at, '}');
		char *holder = end ? vt_xstrndup(at, (size_t)(end - at) + 1) : vt_xstrdup("");
		bool known = !strcmp(holder, "{subject}") ||
			(manifest->subject && strstr(manifest->subject, holder) && *holder);

		if (!known) {
			vt_err_set(err, VT_EDATA,
				"%s: %s: %s holds %s: known are {subject} and the fields of "
				"/subject (\"sub-{patient}_ses-{session}\")",
				origin, pointer, p, *holder ? holder : "a { without a }");
			free(holder);
			return err->code;
		}
		free(holder);
	}
	return holders
		? 0
		: wrong(origin, pointer, "each pattern holds {subject} or fields of /subject", err);
}

static int read_patterns(struct vt_strs *out, const struct vt_manifest *manifest,
	const struct vt_json *files, const char *origin, const char *pointer, struct vt_err *err)
{
	if (!files || files->type != VT_JSON_ARRAY || !files->n)
		return wrong(origin, pointer,
			"must be a list of patterns such as \"{subject}/t1.nii.gz\"", err);
	for (size_t i = 0; i < files->n; i++) {
		const char *p = vt_json_text(files->item[i], NULL);

		if (!p)
			return wrong(origin, pointer, "each pattern is a text", err);
		for (size_t k = 0; k < i; k++)
			if (!strcmp(out->v[k], p))
				return vt_err_set(err, VT_EDATA, "%s: %s: %s stands twice", origin,
					pointer, p);
		if (vt_manifest_check_pattern(manifest, p, origin, pointer, err))
			return err->code;
		vt_strs_add(out, p);
	}
	return 0;
}

static int read_channel(struct vt_manifest *manifest, const struct vt_json *j, const char *origin,
	const char *pointer, struct vt_err *err)
{
	struct vt_channel *c = &manifest->channel[manifest->n_channels];
	const char *role = vt_json_text(vt_json_get(j, "role"), "");
	int64_t frame = vt_json_integer(vt_json_get(j, "frame"), -1);

	if (known_keys(j, " role files frame any_name ", origin, pointer, err) ||
		want_kind(j, "frame", VT_JSON_INT, origin, pointer,
			"the volume's number in a 4-D file, from 0", err) ||
		want_kind(j, "any_name", VT_JSON_BOOL, origin, pointer, "true or false", err))
		return err->code;
	if (!*role || !vt_path_is_portable(role) || strchr(role, '/'))
		return wrong(origin, pointer, "needs a \"role\" such as \"flair\"", err);
	for (int k = 0; k < manifest->n_channels; k++)
		if (!strcmp(manifest->channel[k].role, role))
			return wrong(origin, pointer, "this role stands twice", err);
	if (vt_json_get(j, "frame") && (frame < 0 || frame > 32767))
		return wrong(origin, pointer,
			"\"frame\" is the volume's number in a 4-D file, from 0", err);
	manifest->n_channels++;
	c->role = vt_xstrdup(role);
	c->frame = (int)frame;
	c->any_name = vt_json_true(vt_json_get(j, "any_name"), false);
	return read_patterns(&c->files, manifest, vt_json_get(j, "files"), origin, pointer, err);
}

static int read_channels(struct vt_manifest *manifest, const struct vt_json *j, const char *origin,
	struct vt_err *err)
{
	const struct vt_json *list = vt_json_get(j, "channels");

	if (!list || list->type != VT_JSON_ARRAY || !list->n || list->n > VT_MAX_CHANNELS)
		return wrong(origin, "/channels", "must be a list of 1 to 16 channels", err);
	for (size_t i = 0; i < list->n && !err->code; i++) {
		char *pointer = vt_asprintf("/channels/%zu", i);

		read_channel(manifest, list->item[i], origin, pointer, err);
		free(pointer);
	}
	return err->code;
}

/* "1002" or "1002-1035": stored values that mean one of /label/values. */
static int read_label_map(struct vt_manifest *manifest, const struct vt_json *map,
	const char *origin, struct vt_err *err)
{
	if (map && map->type != VT_JSON_OBJECT)
		return wrong(origin, "/label/map",
			"maps stored values (\"41\", \"1002-1035\") to values of /label/values",
			err);
	for (size_t i = 0; map && i < map->n; i++) {
		int64_t to = vt_json_integer(map->item[i], -1);
		char *end;
		long low = strtol(map->key[i], &end, 10), high = low;

		if (end != map->key[i] && *end == '-')
			high = strtol(end + 1, &end, 10);
		if (end == map->key[i] || *end || low < 0 || high < low || high > 1000000 ||
			map->item[i]->type != VT_JSON_INT || to < 0 || to >= VT_MAX_LABELS ||
			!manifest->label[to])
			return vt_err_set(err, VT_EDATA,
				"%s: /label/map/%s: maps stored values (\"41\", \"1002-1035\") to "
				"values of /label/values",
				origin, map->key[i]);
		for (int k = 0; k < manifest->n_map; k++)
			if (low <= manifest->map[k].high && high >= manifest->map[k].low)
				return vt_err_set(err, VT_EDATA,
					"%s: /label/map/%s: a value of it stands twice", origin,
					map->key[i]);
		manifest->map = vt_xrealloc(manifest->map,
			((size_t)manifest->n_map + 1) * sizeof(*manifest->map));
		manifest->map[manifest->n_map++] =
			(struct vt_label_range){ (int)low, (int)high, (int)to };
	}
	return 0;
}

/* The ignored value is known without a name, and lies in no region. */
static int read_ignore(struct vt_manifest *manifest, const struct vt_json *ignore,
	const char *origin, struct vt_err *err)
{
	int64_t v = vt_json_integer(ignore, -1);

	if (!ignore)
		return 0;
	if (v <= 0 || v >= VT_MAX_LABELS)
		return wrong(origin, "/label/ignore", "is one label value from 1 to 255", err);
	manifest->ignore = (int)v;
	if (!manifest->label[v])
		manifest->label[v] = vt_xstrdup("ignored");
	return 0;
}

static int read_labels(struct vt_manifest *manifest, const struct vt_json *j, const char *origin,
	struct vt_err *err)
{
	const struct vt_json *label = vt_json_get(j, "label"), *files = vt_json_get(label, "files"),
			     *values = vt_json_get(label, "values");

	if (!label)
		return 0;
	if (known_keys(label, " files values map tolerance ignore ", origin, "/label", err) ||
		read_patterns(&manifest->label_files, manifest, files, origin, "/label/files", err))
		return err->code;
	if (!values || values->type != VT_JSON_OBJECT)
		return wrong(origin, "/label/values",
			"must be an object of whole numbers and names, \"0\": \"background\" among "
			"them",
			err);
	for (size_t i = 0; i < values->n; i++) {
		char *end;
		long v = strtol(values->key[i], &end, 10);

		if (*end || end == values->key[i] ||
			(v >= 0 && v < VT_MAX_LABELS && manifest->label[v]) || v < 0 ||
			v >= VT_MAX_LABELS || values->item[i]->type != VT_JSON_STRING)
			return wrong(origin, "/label/values",
				"maps whole numbers from 0 to 255 to names, each once", err);
		manifest->label[v] = vt_xstrdup(values->item[i]->string);
	}
	if (!manifest->label[0])
		return wrong(origin, "/label/values", "must name the value 0 (background)", err);
	manifest->label_tolerance = vt_json_number(vt_json_get(label, "tolerance"), 0);
	if (want_kind(label, "tolerance", VT_JSON_REAL, origin, "/label", "a number", err))
		return err->code;
	if (manifest->label_tolerance < 0 || manifest->label_tolerance >= 0.5)
		return wrong(origin, "/label/tolerance",
			"lies from 0 to below 0.5: how far a stored value may be from a whole one",
			err);
	if (read_label_map(manifest, vt_json_get(label, "map"), origin, err))
		return err->code;
	return read_ignore(manifest, vt_json_get(label, "ignore"), origin, err);
}

static int read_mask(struct vt_manifest *manifest, const struct vt_json *j, const char *origin,
	struct vt_err *err)
{
	const struct vt_json *mask = vt_json_get(j, "mask");

	if (!mask)
		return 0;
	manifest->mask_required = vt_json_true(vt_json_get(mask, "required"), true);
	if (known_keys(mask, " files required ", origin, "/mask", err) ||
		want_kind(mask, "required", VT_JSON_BOOL, origin, "/mask", "true or false", err))
		return err->code;
	return read_patterns(&manifest->mask_files, manifest, vt_json_get(mask, "files"), origin,
		"/mask/files", err);
}

static int read_own_value(struct vt_region *region, const struct vt_json *value, const char *origin,
	struct vt_err *err)
{
	int64_t v = vt_json_integer(value, -1);

	if (!value)
		return 0;
	if (v <= 0 || v >= VT_MAX_LABELS || !region->has[v])
		return wrong(origin, "/regions", "\"value\" is one of the region's values", err);
	region->value = (int)v;
	return 0;
}

static int read_region(struct vt_manifest *manifest, const struct vt_json *j, size_t i,
	const char *origin, struct vt_err *err)
{
	struct vt_region *r = &manifest->region[manifest->n_regions++];
	const struct vt_json *values = vt_json_get(j, "values");

	r->name = vt_xstrdup(vt_json_text(vt_json_get(j, "name"), ""));
	if (known_keys(j, " name values value ", origin, "/regions", err))
		return err->code;
	if (!*r->name || !values || values->type != VT_JSON_ARRAY || !values->n)
		return wrong(origin, "/regions",
			"each region has a \"name\" and a list of \"values\"", err);
	for (int k = 0; k < manifest->n_regions - 1; k++)
		if (!strcmp(manifest->region[k].name, r->name))
			return vt_err_set(err, VT_EDATA,
				"%s: /regions/%zu/name: \"%s\" stands twice; regions are told "
				"apart by their names",
				origin, i, r->name);
	for (size_t k = 0; k < values->n; k++) {
		int64_t v = vt_json_integer(values->item[k], -1);

		if (v <= 0 || v >= VT_MAX_LABELS || !manifest->label[v] || r->has[v])
			return vt_err_set(err, VT_EDATA, "%s: /regions/%zu/values/%zu: %s", origin,
				i, k,
				v > 0 && v < VT_MAX_LABELS && r->has[v]
					? "stands twice"
					: "is not a value of /label/values other than 0");
		r->has[v] = true;
	}
	if (manifest->ignore && r->has[manifest->ignore])
		return wrong(origin, "/regions", "a region holds the ignored label value", err);
	if (read_own_value(r, vt_json_get(j, "value"), origin, err))
		return err->code;
	return 0;
}

static int read_regions(struct vt_manifest *manifest, const struct vt_json *j, const char *origin,
	struct vt_err *err)
{
	const struct vt_json *list = vt_json_get(j, "regions");
	size_t most;
	int pair[2];

	if (want_kind(j, "exclusive", VT_JSON_BOOL, origin, "", "true or false", err))
		return err->code;
	manifest->exclusive = vt_json_true(vt_json_get(j, "exclusive"), false);
	most = manifest->exclusive ? VT_MAX_REGIONS : VT_OVERLAPPING_REGIONS;
	if ((manifest->label_files.n || list) &&
		(!list || list->type != VT_JSON_ARRAY || !list->n || list->n > most))
		return vt_err_set(err, VT_EDATA,
			"%s: /regions: must be a list of 1 to %zu regions {\"name\", \"values\"}%s",
			origin, most,
			manifest->exclusive
				? ""
				: "; \"exclusive\": true allows more, which do not overlap");
	for (size_t i = 0; list && i < list->n && !err->code; i++)
		read_region(manifest, list->item[i], i, origin, err);
	if (!err->code && manifest->exclusive && manifest->ignore)
		return wrong(origin, "/label/ignore", "does not go with exclusive regions", err);
	if (!err->code && manifest->exclusive && vt_manifest_overlap(manifest, pair))
		return vt_err_set(err, VT_EDATA,
			"%s: /regions: %s and %s share a label value; exclusive regions may not",
			origin, manifest->region[pair[0]].name, manifest->region[pair[1]].name);
	if (!err->code && manifest->ignore && manifest->n_regions == VT_OVERLAPPING_REGIONS)
		return wrong(origin, "/label/ignore", "leaves room for at most 7 regions", err);
	return err->code;
}

static int read_split_table(struct vt_manifest *manifest, const struct vt_json *table,
	const char *origin, struct vt_err *err)
{
	if (table && (table->type != VT_JSON_OBJECT || !table->n))
		return wrong(origin, "/split/subjects",
			"maps subjects to \"test\" or to their fold", err);
	for (size_t i = 0; table && i < table->n; i++) {
		int64_t fold = vt_json_integer(table->item[i], -1);

		if (strcmp(vt_json_text(table->item[i], ""), "test") &&
			(fold < 0 || fold >= manifest->folds))
			return vt_err_set(err, VT_EDATA,
				"%s: /split/subjects/%s: must be \"test\" or a fold from 0 to %d",
				origin, table->key[i], manifest->folds - 1);
	}
	manifest->split_table = table;
	return vt_manifest_check_split(manifest, origin, err);
}

static int read_split(struct vt_manifest *manifest, const struct vt_json *j, const char *origin,
	struct vt_err *err)
{
	const struct vt_json *s = vt_json_get(j, "split");

	if (known_keys(s, " seed test folds subjects ", origin, "/split", err) ||
		want_kind(s, "seed", VT_JSON_INT, origin, "/split", "a whole number", err) ||
		want_kind(s, "test", VT_JSON_REAL, origin, "/split", "a number", err) ||
		want_kind(s, "folds", VT_JSON_INT, origin, "/split", "a whole number", err))
		return err->code;
	manifest->seed = (uint64_t)vt_json_integer(vt_json_get(s, "seed"), 1);
	manifest->test = vt_json_number(vt_json_get(s, "test"), 0.2);
	manifest->folds = (int)vt_json_integer(vt_json_get(s, "folds"), 5);
	if (manifest->test < 0 || manifest->test > 0.9 || manifest->folds < 2 ||
		manifest->folds > 20)
		return wrong(origin, "/split", "test lies from 0 to 0.9 and folds from 2 to 20",
			err);
	return read_split_table(manifest, vt_json_get(s, "subjects"), origin, err);
}

static int read_spacing(struct vt_manifest *manifest, const struct vt_json *j, const char *origin,
	struct vt_err *err)
{
	const struct vt_json *s = vt_json_get(j, "spacing_mm");
	bool good = !s || (s->type == VT_JSON_ARRAY && s->n == 3);

	for (size_t a = 0; good && s && a < 3; a++) {
		manifest->spacing[a] = vt_json_number(s->item[a], -1);
		good = manifest->spacing[a] >= 0 && manifest->spacing[a] <= 100 &&
			(manifest->spacing[a] == 0 || manifest->spacing[a] >= 0.01);
	}
	return good ? 0
		    : wrong(origin, "/spacing_mm",
			      "must be three numbers of mm along right, front, head; 0: as scanned",
			      err);
}

/* How a subject's name is made, and whose patients they are. */
static int read_people(struct vt_manifest *manifest, const struct vt_json *j, const char *origin,
	struct vt_err *err)
{
	const char *template = vt_json_text(vt_json_get(j, "subject"), NULL);
	const struct vt_json *patients = vt_json_get(j, "patients");

	if (vt_json_get(j, "subject") &&
		(!template || !strstr(template, "{patient}") || strchr(template, '/') ||
			strstr(template, "{subject}")))
		return wrong(origin, "/subject",
			"says how a subject's name is made: a text with {patient} and other "
			"fields, \"sub-{patient}_ses-{session}\"",
			err);
	manifest->subject = template ? vt_xstrdup(template) : NULL;
	if (patients && patients->type != VT_JSON_OBJECT)
		return wrong(origin, "/patients", "maps subjects to their patients", err);
	for (size_t i = 0; patients && i < patients->n; i++)
		if (!*vt_json_text(patients->item[i], ""))
			return wrong(origin, "/patients", "maps subjects to their patients", err);
	manifest->patients = patients;
	return 0;
}

int vt_manifest_parse(struct vt_manifest **out, const struct vt_json *j, const char *origin,
	struct vt_err *err)
{
	struct vt_manifest *m = vt_xcalloc(1, sizeof(*m));
	int rc = known_keys(j,
		" format name description source subject patients channels mask label exclusive "
		"regions spacing_mm split classes ",
		origin, "", err);

	m->name = vt_xstrdup(vt_json_text(vt_json_get(j, "name"), ""));
	j = m->json = vt_json_copy(j);
	if (!rc && vt_json_integer(vt_json_get(j, "format"), 0) != 1)
		rc = wrong(origin, "/format", "must be 1", err);
	if (!rc && !*m->name)
		rc = wrong(origin, "/name", "is missing", err);
	if (!rc)
		rc = want_kind(j, "description", VT_JSON_STRING, origin, "", "a text", err);
	if (!rc)
		rc = want_kind(j, "source", VT_JSON_STRING, origin, "", "a text", err);
	if (!rc)
		rc = read_people(m, j, origin, err);
	if (!rc)
		rc = read_spacing(m, j, origin, err);
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
	if (!rc)
		rc = vt_manifest_read_classes(m, j, origin, err);
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

/* Without the tables of people: each container holds one, and they would hold everybody. */
struct vt_json *vt_manifest_json(const struct vt_manifest *manifest)
{
	struct vt_json *out = vt_json_new(VT_JSON_OBJECT);

	for (size_t i = 0; i < manifest->json->n; i++) {
		const struct vt_json *v = manifest->json->item[i];
		struct vt_json *split = NULL;

		if (!strcmp(manifest->json->key[i], "patients"))
			continue;
		if ((!strcmp(manifest->json->key[i], "split") && manifest->split_table) ||
			(!strcmp(manifest->json->key[i], "classes") && manifest->class_table)) {
			split = vt_json_new(VT_JSON_OBJECT);
			for (size_t k = 0; k < v->n; k++)
				if (v->item[k] != manifest->split_table &&
					v->item[k] != manifest->class_table)
					vt_json_put(split, v->key[k], vt_json_copy(v->item[k]));
		}
		vt_json_put(out, manifest->json->key[i], split ? split : vt_json_copy(v));
	}
	return out;
}
