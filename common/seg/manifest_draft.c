/* manifest_draft.c - see the header.  Patterns are counted over all subjects; those of fewer than
 * half of the most frequent one's subjects are odd ones out and only remarked. */
#include "common/seg/manifest_draft.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/base/sort.h"
#include "common/content/tree.h"
#include "common/image/intensity.h"
#include "common/image/volume.h"
#include "common/seg/manifest_draft_internal.h"
#include "common/seg/manifest_internal.h"

enum { DEPTH = 6 };

static bool is_image(const char *name)
{
	size_t n = strlen(name);

	return (n > 4 && !strcmp(name + n - 4, ".nii")) ||
		(n > 7 && !strcmp(name + n - 7, ".nii.gz"));
}

static int list_images(struct vt_strs *out, const char *root, const char *at, int depth,
	struct vt_err *err)
{
	char *dir = *at ? vt_path_join(root, at) : vt_xstrdup(root);
	struct vt_strs names = VT_STRS_INIT;
	int rc = vt_fs_list(&names, dir, err);

	vt_strs_sort(&names);
	for (size_t i = 0; !rc && i < names.n; i++) {
		char *path = *at ? vt_path_join(at, names.v[i]) : vt_xstrdup(names.v[i]);
		char *full = vt_path_join(root, path);

		if (vt_fs_is_stray(names.v[i]))
			;
		else if (vt_fs_is_dir(full))
			rc = depth ? list_images(out, root, path, depth - 1, err) : 0;
		else if (is_image(names.v[i]))
			vt_strs_add(out, path);
		free(full);
		free(path);
	}
	vt_strs_release(&names);
	free(dir);
	return rc;
}

/* Directories that hold many subjects. */
static bool is_common(const char *element, size_t n)
{
	static const char *const names[] = { "imagesTr", "imagesTs", "labelsTr", "labelsTs", "HGG",
		"LGG", "derivatives", "images", "labels", "masks", "scans", "anat" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strlen(names[i]) == n && !strncmp(names[i], element, n))
			return true;
	return false;
}

/* The subject's name in a path; caller frees. */
static char *subject_of(const struct vt_draft *draft, const char *path)
{
	const char *base = strrchr(path, '/'), *at = path;
	size_t n;
	char *name;

	for (; (n = strcspn(at, "/")) && at[n]; at += n + 1)
		if (!is_common(at, n)) {
			/* UCSF-PDGM-0004_nifti/UCSF-PDGM-0004_FLAIR.nii.gz */
			if (n > 6 && !strncmp(at + n - 6, "_nifti", 6))
				n -= 6;
			return vt_xstrndup(at, n);
		}
	base = base ? base + 1 : path;
	name = vt_xstrndup(base,
		strstr(base, ".nii") ? (size_t)(strstr(base, ".nii") - base) : strlen(base));
	/* Where the Decathlon's names are given, a number is a subject's and no channel's. */
	name[vt_manifest_stem(name,
		!strncmp(path, "images", 6) && !vt_json_get(draft->dataset, "modality"))] = '\0';
	return name;
}

/* The text with every whole occurrence of the name replaced. */
static char *replaced(const char *path, const char *subject, const char *holder)
{
	struct vt_buf b = VT_BUF_INIT;
	size_t n = strlen(subject);

	while (*path) {
		if (n && !strncmp(path, subject, n) && !isalnum((unsigned char)path[n])) {
			vt_buf_str(&b, holder);
			path += n;
		} else {
			vt_buf_add(&b, path++, 1);
		}
	}
	vt_buf_str(&b, "");
	return vt_buf_detach(&b);
}

/* BIDS with sessions has fields of its own: sub-{patient}/ses-{session}/anat/... */
static char *pattern_of(bool *sessions, const char *path, const char *subject)
{
	const char *ses = strncmp(subject, "sub-", 4) ? NULL : strstr(path, "/ses-");
	char *session, *half, *whole;

	if (!ses || !strchr(ses + 1, '/'))
		return replaced(path, subject, "{subject}");
	*sessions = true;
	session = vt_xstrndup(ses + 1, strcspn(ses + 1, "/"));
	half = replaced(path, subject, "sub-{patient}");
	whole = replaced(half, session, "ses-{session}");
	free(session);
	free(half);
	return whole;
}

/* Lower-case words that the pattern spells out, joined: "swi", "t1_weighted_brain". */
static char *words_of(const char *pattern)
{
	const char *base = strrchr(pattern, '/');
	struct vt_buf b = VT_BUF_INIT;
	bool gap = false;

	for (base = base ? base + 1 : pattern; *base && strncmp(base, ".nii", 4); base++) {
		const char *holder = *base == '{' ? strchr(base, '}') : NULL;

		if (holder) {
			base = holder;
			continue;
		}
		if (isalnum((unsigned char)*base)) {
			char low = (char)tolower((unsigned char)*base);

			if (gap && b.len)
				vt_buf_str(&b, "_");
			vt_buf_add(&b, &low, 1);
		}
		gap = !isalnum((unsigned char)*base);
	}
	vt_buf_str(&b, "");
	return vt_buf_detach(&b);
}

/* A channel that dataset.json names, in words that a manifest takes. */
static char *said_words(const char *said)
{
	char *words = words_of(said);

	if (*words)
		return words;
	free(words);
	return vt_xstrdup("image");
}

/* What the JSON beside a scan says of it; NULL: nothing. */
static const char *sidecar_role(const struct vt_draft_files *files, const char *by_name)
{
	char *path = vt_path_join(files->root, files->files.v[0]);
	struct vt_err none = VT_ERR_INIT;
	struct vt_json *j = NULL;
	const char *role = NULL;
	char *end = strstr(path, ".nii"), *beside;

	*end = '\0';
	beside = vt_asprintf("%s.json", path);
	if (vt_fs_exists(beside) && !vt_json_read(&j, beside, &none)) {
		role = vt_manifest_role_of(vt_json_text(vt_json_get(j, "SeriesDescription"), ""));
		if (!role)
			role = vt_manifest_role_of(
				vt_json_text(vt_json_get(j, "ProtocolName"), ""));
		role = by_name ? by_name : role;
		if (role && !strcmp(role, "t1") &&
			*vt_json_text(vt_json_get(j, "ContrastBolusAgent"), ""))
			role = "t1ce";
	}
	vt_json_free(j);
	free(beside);
	free(path);
	return role;
}

/* dataset.json: "channel_names" of nnU-Net, "modality" of the Decathlon. */
static const char *dataset_name(const struct vt_draft *draft, size_t channel)
{
	const struct vt_json *names = vt_json_get(draft->dataset, "channel_names");
	char key[24];

	names = names ? names : vt_json_get(draft->dataset, "modality");
	snprintf(key, sizeof(key), "%zu", channel);
	return vt_json_text(vt_json_get(names, key), NULL);
}

static char *role_of(const struct vt_draft *draft, const struct vt_draft_files *files)
{
	const char *role = vt_manifest_role_of(files->pattern), *beside = sidecar_role(files, role);
	char *words = words_of(files->pattern), *name;
	const char *said = NULL;

	if (strlen(words) == 4 && strspn(words, "0123456789") == 4)
		said = dataset_name(draft, strtoul(words, NULL, 10));
	else if (!*words)
		said = dataset_name(draft, 0);
	if (said)
		role = vt_manifest_role_of(said);
	role = beside ? beside : role;
	if (role)
		name = vt_xstrdup(role);
	else if (said)
		name = said_words(said);
	else
		name = NULL;
	if (!name)
		return *words ? words : (free(words), vt_xstrdup("image"));
	free(words);
	return name;
}

/* BraTS-GLI-00004-001: the second visit of a patient. */
static bool is_visit(const char *subject)
{
	size_t n = strlen(subject);

	return n > 10 && !strncmp(subject, "BraTS-", 6) && subject[n - 4] == '-' &&
		strspn(subject + n - 3, "0123456789") == 3;
}

static void add_file(struct vt_draft *draft, const char *root, const char *path)
{
	char *subject = subject_of(draft, path),
	     *pattern = pattern_of(&draft->sessions, path, subject);
	size_t i = 0;

	draft->files++;
	draft->visits += is_visit(subject);
	while (i < draft->n && (draft->v[i].root != root || strcmp(draft->v[i].pattern, pattern)))
		i++;
	if (i == draft->n) {
		draft->v = vt_xrealloc(draft->v, (draft->n + 1) * sizeof(*draft->v));
		draft->v[draft->n++] =
			(struct vt_draft_files){ .root = root, .pattern = vt_xstrdup(pattern) };
	}
	vt_strs_add(&draft->v[i].files, path);
	free(pattern);
	free(subject);
}

static int most_files_first(const void *a, const void *b)
{
	const struct vt_draft_files *p = a, *q = b;

	if (p->files.n != q->files.n)
		return p->files.n > q->files.n ? -1 : 1;
	return strcmp(p->pattern, q->pattern);
}

/* --- what the files say ---------------------------------------------------------------------- */

static size_t frames_of(const struct vt_draft_files *files)
{
	char *path = vt_path_join(files->root, files->files.v[0]);
	struct vt_volume v = VT_VOLUME_INIT;
	struct vt_err none = VT_ERR_INIT;
	size_t n = vt_volume_read(&v, path, VT_VOLUME_HEADER | VT_VOLUME_FRAMES, &none)
		? 1
		: v.n_frames;

	vt_volume_release(&v);
	free(path);
	return n;
}

/* Median spacing along R, A, S of at most VT_DRAFT_LOOKED_AT files, rounded to 0.01 mm. */
static struct vt_json *spacing_of(const struct vt_draft_files *files)
{
	struct vt_json *list = vt_json_new(VT_JSON_ARRAY);
	double axis[3][VT_DRAFT_LOOKED_AT];
	size_t n = 0;

	for (size_t i = 0; i < files->files.n && n < VT_DRAFT_LOOKED_AT; i++) {
		char *path = vt_path_join(files->root, files->files.v[i]);
		struct vt_volume v = VT_VOLUME_INIT;
		struct vt_err none = VT_ERR_INIT;
		struct vt_placement p;

		if (!vt_volume_read(&v, path, VT_VOLUME_HEADER | VT_VOLUME_FRAMES, &none)) {
			vt_placement_canonical(&p, &v.geometry);
			for (int a = 0; a < 3; a++)
				axis[a][n] = p.full.spacing[a];
			n++;
		}
		vt_volume_release(&v);
		free(path);
	}
	for (int a = 0; a < 3; a++) {
		vt_sort_doubles(axis[a], n);
		vt_json_push(list,
			vt_json_new_real(
				n ? floor(vt_percentile_sorted(axis[a], n, 50) * 100 + 0.5) / 100
				  : 0));
	}
	return list;
}

/* Which whole values the label files hold: values[], up to 255; the rest is remarked. */
static void label_values(bool values[VT_MAX_LABELS], struct vt_buf *remarks,
	const struct vt_draft_files *files)
{
	size_t other = 0;

	for (size_t i = 0; i < files->files.n && i < VT_DRAFT_LOOKED_AT; i++) {
		char *path = vt_path_join(files->root, files->files.v[i]);
		struct vt_volume v = VT_VOLUME_INIT;
		struct vt_err why = VT_ERR_INIT;

		if (vt_volume_read(&v, path, VT_VOLUME_RAW, &why))
			vt_buf_printf(remarks, "%s\n", why.text);
		for (size_t k = 0; !why.code && k < v.n; k++) {
			double x = vt_volume_value(&v, k);

			if (x >= 0 && x < VT_MAX_LABELS && x == (int)x)
				values[(int)x] = true;
			else
				other++;
		}
		vt_volume_release(&v);
		free(path);
	}
	if (other)
		vt_buf_printf(remarks,
			"%zu label voxels are no whole number from 0 to 255: see label.map and "
			"label.tolerance\n",
			other);
}

/* --- the manifest -------------------------------------------------------------------------- */

static struct vt_json *files_json(const char *pattern)
{
	struct vt_json *list = vt_json_new(VT_JSON_ARRAY);

	vt_json_push(list, vt_json_new_text(pattern));
	return list;
}

static void add_channel(struct vt_json *channels, const char *role, const char *pattern, int frame)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT);
	char *own = vt_xstrdup(role);

	/* Two patterns of one role: the second has its number. */
	for (int k = 2;; k++) {
		bool taken = false;

		for (size_t i = 0; i < channels->n; i++)
			taken = taken ||
				!strcmp(vt_json_text(vt_json_get(channels->item[i], "role"), ""),
					own);
		if (!taken)
			break;
		free(own);
		own = vt_asprintf("%s_%d", role, k);
	}
	vt_json_put_text(j, "role", own);
	vt_json_put(j, "files", files_json(pattern));
	if (frame >= 0)
		vt_json_put_int(j, "frame", frame);
	vt_json_push(channels, j);
	free(own);
}

static void put_label(struct vt_json *j, struct vt_buf *remarks, const struct vt_draft_files *files)
{
	struct vt_json *label = vt_json_new(VT_JSON_OBJECT), *names = vt_json_new(VT_JSON_OBJECT),
		       *regions = vt_json_new(VT_JSON_ARRAY);
	bool values[VT_MAX_LABELS] = { true };
	size_t n = 0;

	label_values(values, remarks, files);
	for (int v = 0; v < VT_MAX_LABELS; v++) {
		char key[12], name[24];

		if (!values[v])
			continue;
		snprintf(key, sizeof(key), "%d", v);
		snprintf(name, sizeof(name), v ? "label %d" : "background", v);
		vt_json_put_text(names, key, name);
		if (v && n++ < VT_OVERLAPPING_REGIONS) {
			struct vt_json *region = vt_json_new(VT_JSON_OBJECT),
				       *list = vt_json_new(VT_JSON_ARRAY);

			vt_json_push(list, vt_json_new_int(v));
			vt_json_put_text(region, "name", name);
			vt_json_put(region, "values", list);
			vt_json_push(regions, region);
		}
	}
	if (n > VT_OVERLAPPING_REGIONS)
		vt_buf_printf(remarks, "%zu label values, of which the first %d are regions\n", n,
			VT_OVERLAPPING_REGIONS);
	vt_json_put(label, "files", files_json(files->pattern));
	vt_json_put(label, "values", names);
	vt_json_put(j, "label", label);
	vt_json_put(j, "regions", regions);
}

static void put_channels(struct vt_json *j, struct vt_buf *remarks, struct vt_draft *draft,
	size_t most)
{
	struct vt_json *channels = vt_json_new(VT_JSON_ARRAY);

	for (size_t i = 0; i < draft->n; i++) {
		struct vt_draft_files *f = &draft->v[i];
		size_t frames;

		if (f->kind != VT_FILE_SCAN)
			continue;
		if (2 * f->files.n < most || channels->n >= VT_MAX_CHANNELS ||
			!strncmp(f->pattern, "imagesTs", 8)) {
			vt_buf_printf(remarks, "left out: %s, %zu files such as %s\n", f->pattern,
				f->files.n, f->files.v[0]);
			continue;
		}
		f->role = role_of(draft, f);
		frames = frames_of(f);
		for (size_t k = 0; k < frames && channels->n < VT_MAX_CHANNELS; k++) {
			const char *said = frames > 1 ? dataset_name(draft, k) : NULL,
				   *known = said ? vt_manifest_role_of(said) : NULL;
			char *own;

			if (known)
				own = vt_xstrdup(known);
			else if (said)
				own = said_words(said);
			else
				own = vt_xstrdup(f->role);

			add_channel(channels, own, f->pattern, frames > 1 ? (int)k : -1);
			free(own);
		}
	}
	vt_json_put(j, "channels", channels);
}

static void put_mask(struct vt_json *j, const struct vt_draft_files *files)
{
	struct vt_json *mask = vt_json_new(VT_JSON_OBJECT);

	vt_json_put(mask, "files", files_json(files->pattern));
	vt_json_put_bool(mask, "required", false);
	vt_json_put(j, "mask", mask);
}

static struct vt_json *manifest_of(struct vt_draft *draft, struct vt_buf *remarks)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT);
	const struct vt_draft_files *first[VT_FILE_KINDS] = { NULL };
	char *plain = vt_xstrdup(draft->dir);
	const char *name;

	vt_draft_choose(first, draft);
	for (size_t n = strlen(plain); n > 1 && plain[n - 1] == '/'; n--)
		plain[n - 1] = '\0';
	name = strrchr(plain, '/') ? strrchr(plain, '/') + 1 : plain;
	vt_json_put_int(j, "format", 1);
	vt_json_put_text(j, "name", *name ? name : "cohort");
	vt_json_put_text(j, "description", "Drafted from what lies there: read it before use.");
	if (draft->sessions)
		vt_json_put_text(j, "subject", "sub-{patient}_ses-{session}");
	else if (draft->visits == draft->files)
		vt_json_put_text(j, "subject", "BraTS-{patient}-{session}");
	put_channels(j, remarks, draft, first[VT_FILE_SCAN] ? first[VT_FILE_SCAN]->files.n : 0);
	if (first[VT_FILE_MASK])
		put_mask(j, first[VT_FILE_MASK]);
	if (first[VT_FILE_LABEL])
		put_label(j, remarks, first[VT_FILE_LABEL]);
	vt_draft_remark(remarks, draft, first);
	if (first[VT_FILE_SCAN])
		vt_json_put(j, "spacing_mm", spacing_of(first[VT_FILE_SCAN]));
	free(plain);
	return j;
}

/* Files whose names no store takes are left out, with a remark. */
static int add_root(struct vt_draft *draft, struct vt_buf *remarks, const char *root,
	struct vt_err *err)
{
	struct vt_strs images = VT_STRS_INIT;
	int rc = list_images(&images, root, "", DEPTH, err);

	for (size_t i = 0; !rc && i < images.n; i++) {
		struct vt_err why = VT_ERR_INIT;

		if (vt_tree_check_name(NULL, images.v[i], &why))
			vt_buf_printf(remarks, "left out: %s\n", why.text);
		else
			add_file(draft, root, images.v[i]);
	}
	vt_strs_release(&images);
	return rc;
}

static void draft_release(struct vt_draft *draft)
{
	for (size_t i = 0; i < draft->n; i++) {
		free(draft->v[i].pattern);
		free(draft->v[i].role);
		free(draft->v[i].values);
		vt_strs_release(&draft->v[i].files);
	}
	free(draft->v);
	vt_json_free(draft->dataset);
}

static bool is_same(const char *dir, const char *labels)
{
	char *a = realpath(dir, NULL), *b = realpath(labels, NULL);
	bool same = a && b && !strcmp(a, b);

	free(a);
	free(b);
	return same;
}

int vt_manifest_draft(struct vt_json **out, struct vt_buf *remarks, const char *dir,
	const char *labels, struct vt_err *err)
{
	struct vt_draft d = { .dir = dir,
		.labels = labels && is_same(dir, labels) ? NULL : labels };
	struct vt_err none = VT_ERR_INIT;
	char *dataset = vt_path_join(dir, "dataset.json");
	bool scans = false;

	if (vt_fs_exists(dataset))
		vt_json_read(&d.dataset, dataset, &none);
	free(dataset);
	if (!add_root(&d, remarks, dir, err) &&
		(!d.labels || !add_root(&d, remarks, d.labels, err))) {
		if (d.n > 1)
			qsort(d.v, d.n, sizeof(*d.v), most_files_first);
		for (size_t i = 0; i < d.n; i++) {
			vt_draft_judge(&d, &d.v[i]);
			scans = scans || d.v[i].kind == VT_FILE_SCAN;
		}
		if (!scans)
			vt_err_set(err, VT_ENOINPUT,
				"%s: no scan (.nii, .nii.gz) lies in it or below%s", dir,
				d.n ? ", only label maps and masks" : "");
		else
			*out = manifest_of(&d, remarks);
	}
	draft_release(&d);
	return err->code;
}
