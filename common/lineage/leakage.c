/* Which subjects and volumes two sides share.
 *
 * A side is a sorted list of subjects and a list of volumes sorted by digest. Volumes are compared
 * by what they show, where a preparation noted that, and otherwise by their raw bytes. Both lists
 * are merged in one pass; patients are found by binary search. */
#include "common/lineage/leakage.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/record/record.h"
#include "common/content/tree.h"

static void add_volume(struct vt_side *side, const char *sha256, const char *subject,
	const char *path)
{
	if (side->n == side->cap) {
		side->cap = side->cap ? 2 * side->cap : 64;
		side->v = vt_xrealloc(side->v, side->cap * sizeof(*side->v));
	}
	side->v[side->n] =
		(struct vt_side_volume){ .subject = vt_xstrdup(subject), .path = vt_xstrdup(path) };
	snprintf(side->v[side->n++].sha256, VT_HEX, "%s", sha256);
}

static int by_digest(const void *a, const void *b)
{
	const struct vt_side_volume *x = a, *y = b;
	int c = strcmp(x->sha256, y->sha256);

	return c ? c : strcmp(x->path, y->path);
}

static void sort_volumes(struct vt_side *side)
{
	size_t n = 0;

	assert(side->n <= side->cap);
	if (side->n > 1)
		qsort(side->v, side->n, sizeof(*side->v), by_digest);
	for (size_t i = 0; i < side->n; i++) /* by_digest: no two of one path and digest */
		if (n && !by_digest(&side->v[n - 1], &side->v[i])) {
			free(side->v[i].subject);
			free(side->v[i].path);
		} else {
			side->v[n++] = side->v[i];
		}
	side->n = n;
}

static void add_names(struct vt_strs *to, const struct vt_json *names)
{
	for (size_t i = 0; names && i < names->n; i++)
		if (names->item[i]->type == VT_JSON_STRING)
			vt_strs_add(to, names->item[i]->string);
}

static bool is_image(const char *path)
{
	static const char *const ends[] = { ".nii", ".nii.gz", ".img", ".img.gz" };
	size_t n = strlen(path);

	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
		if (n > strlen(ends[i]) && !strcmp(path + n - strlen(ends[i]), ends[i]))
			return true;
	return false;
}

/* What the preparations note: what each channel shows, and whose the subjects are. */
static void add_notes(struct vt_side *side, const struct vt_json *record)
{
	const struct vt_json *subjects = vt_json_pointer(record, "/notes/subjects"),
			     *patients = vt_json_pointer(record, "/notes/patients");

	for (size_t i = 0; subjects && subjects->type == VT_JSON_OBJECT && i < subjects->n; i++) {
		const struct vt_json *content = vt_json_get(subjects->item[i], "content");

		/* sorted: the caller has made subjects unique */
		if (!vt_json_members(content) || !vt_strs_hold(&side->subjects, subjects->key[i]))
			continue;
		vt_strs_add(&side->decoded, subjects->key[i]);
		for (size_t k = 0; k < content->n; k++) {
			char *path = vt_asprintf("%s (%s)", subjects->key[i], content->key[k]);

			add_volume(side, vt_json_text(content->item[k], ""), subjects->key[i],
				path);
			free(path);
		}
	}
	for (size_t i = 0; patients && patients->type == VT_JSON_OBJECT && i < patients->n; i++) {
		if (!side->patients)
			side->patients = vt_json_new(VT_JSON_OBJECT);
		vt_json_put(side->patients, patients->key[i], vt_json_copy(patients->item[i]));
	}
}

/* The volumes of the side's subjects: what they show, or their raw bytes where nobody says. */
static void add_volumes(struct vt_side *side, const struct vt_ancestry *ancestry)
{
	for (size_t i = 0; i < ancestry->n; i++)
		add_notes(side, ancestry->v[i].record);
	vt_strs_unique(&side->decoded);
	for (size_t i = 0; i < ancestry->n; i++)
		for (size_t k = 0; k < ancestry->v[i].n_raw; k++) {
			const struct vt_raw_file *f = &ancestry->v[i].raw[k];

			/* equal labels are no leak: two subjects may well have the same, an empty
			 * one for instance */
			if (strcmp(f->port, "labels") && *f->subject && is_image(f->path) &&
				vt_strs_hold(&side->subjects, f->subject) &&
				!vt_strs_hold(&side->decoded, f->subject))
				add_volume(side, f->sha256, f->subject, f->path);
		}
	sort_volumes(side);
}

void vt_side_trained(struct vt_side *side, const struct vt_ancestry *ancestry, bool choosing)
{
	bool noted = false;

	for (size_t i = 0; i < ancestry->n; i++) {
		const struct vt_json *split =
			vt_json_pointer(ancestry->v[i].record, "/notes/split");

		noted = noted || split;
		add_names(&side->subjects, vt_json_get(split, "train"));
		if (choosing)
			add_names(&side->subjects, vt_json_get(split, "validation"));
	}
	if (!noted) /* no split is noted: all that was read */
		vt_ancestry_subjects(&side->subjects, ancestry);
	vt_strs_unique(&side->subjects);
	add_volumes(side, ancestry);
}

void vt_side_evaluated(struct vt_side *side, const struct vt_ancestry *ancestry)
{
	for (size_t i = 0; i < ancestry->n_roots; i++)
		add_names(&side->subjects,
			vt_json_pointer(ancestry->v[i].record, "/notes/subjects"));
	if (!side->subjects.n)
		vt_ancestry_subjects(&side->subjects, ancestry);
	vt_strs_unique(&side->subjects);
	add_volumes(side, ancestry);
}

int vt_side_directory(struct vt_side *side, const char *dir, struct vt_err *err)
{
	struct vt_tree *t = NULL;
	int rc = vt_tree_hash_dir(&t, dir, err);

	for (size_t i = 0; !rc && i < t->n_files; i++) {
		char *subject = vt_record_subject(NULL, NULL, t->file[i].path), hex[VT_HEX];

		vt_digest_hex(hex, &t->file[i].digest);
		if (*subject)
			vt_strs_add(&side->subjects, subject);
		if (is_image(t->file[i].path))
			add_volume(side, hex, subject, t->file[i].path);
		free(subject);
	}
	vt_strs_unique(&side->subjects);
	sort_volumes(side);
	vt_tree_free(t);
	return rc;
}

void vt_side_decode(struct vt_side *side, const char *dir,
	bool (*digest)(struct vt_strs *hex, const char *path))
{
	struct vt_side out = VT_SIDE_INIT;

	for (size_t i = 0; i < side->n; i++) {
		char *path = vt_path_join(dir, side->v[i].path);
		struct vt_strs hex = VT_STRS_INIT;

		if (!digest(&hex, path)) /* what cannot be decoded is compared by its raw bytes */
			vt_strs_add(&hex, side->v[i].sha256);
		for (size_t k = 0; k < hex.n; k++)
			add_volume(&out, hex.v[k], side->v[i].subject, side->v[i].path);
		vt_strs_release(&hex);
		free(path);
		free(side->v[i].subject);
		free(side->v[i].path);
	}
	free(side->v);
	side->v = out.v;
	side->n = out.n;
	side->cap = out.cap;
	sort_volumes(side);
}

void vt_side_release(struct vt_side *side)
{
	vt_strs_release(&side->decoded);
	vt_json_free(side->patients);
	for (size_t i = 0; i < side->n; i++) {
		free(side->v[i].subject);
		free(side->v[i].path);
	}
	free(side->v);
	vt_strs_release(&side->subjects);
	*side = (struct vt_side)VT_SIDE_INIT;
}

static void add_pair(struct vt_leak *leak, const struct vt_side_volume *volume,
	const struct vt_side_volume *side_volume)
{
	assert(!strcmp(volume->sha256, side_volume->sha256));
	/* a volume of a shared subject says nothing new */
	if (!strcmp(volume->subject, side_volume->subject) &&
		vt_strs_hold(&leak->subjects, volume->subject))
		return;
	if (leak->n_volumes == leak->cap) {
		leak->cap = leak->cap ? 2 * leak->cap : 16;
		leak->volume = vt_xrealloc(leak->volume, leak->cap * sizeof(*leak->volume));
	}
	leak->volume[leak->n_volumes++] = (struct vt_leak_pair){ volume, side_volume };
}

static const char *patient_of(const struct vt_side *side, const struct vt_side *other,
	const char *subject)
{
	const char *said = vt_json_text(vt_json_get(side->patients, subject), NULL);

	/* who no list names is a patient of its own */
	return said ? said : vt_json_text(vt_json_get(other->patients, subject), subject);
}

static int by_patient(const void *a, const void *b)
{
	const struct vt_leak_patient *p = a, *q = b;
	int order = strcmp(p->patient, q->patient);

	return order ? order : strcmp(p->training, q->training);
}

static void find_patients(struct vt_leak *out, const struct vt_side *training,
	const struct vt_side *evaluation)
{
	size_t n = training->subjects.n;
	struct vt_leak_patient *known = vt_xcalloc(n + 1, sizeof(*known));

	out->patient = vt_xcalloc(evaluation->subjects.n + 1, sizeof(*out->patient));
	for (size_t i = 0; i < n; i++)
		known[i] = (struct vt_leak_patient){ patient_of(training, evaluation,
							     training->subjects.v[i]),
			training->subjects.v[i], NULL };
	if (n > 1)
		qsort(known, n, sizeof(*known), by_patient);
	for (size_t i = 0; i < evaluation->subjects.n; i++) {
		const char *subject = evaluation->subjects.v[i],
			   *patient = patient_of(evaluation, training, subject);
		size_t lo = 0, hi = n;

		/* a shared subject says it already */
		if (vt_strs_hold(&out->subjects, subject))
			continue;
		while (lo < hi) {
			size_t mid = lo + (hi - lo) / 2;

			if (strcmp(known[mid].patient, patient) < 0)
				lo = mid + 1;
			else
				hi = mid;
		}
		if (lo < n && !strcmp(known[lo].patient, patient))
			out->patient[out->n_patients++] =
				(struct vt_leak_patient){ patient, known[lo].training, subject };
	}
	free(known);
}

void vt_leak_find(struct vt_leak *out, const struct vt_side *training,
	const struct vt_side *evaluation)
{
	assert(training != evaluation);
	*out = (struct vt_leak){ .volume = NULL };
	for (size_t i = 0; i < evaluation->subjects.n; i++)
		if (vt_strs_hold(&training->subjects, evaluation->subjects.v[i]))
			vt_strs_add(&out->subjects, evaluation->subjects.v[i]);
	find_patients(out, training, evaluation);
	for (size_t i = 0, first = 0; i < evaluation->n; i++) {
		const char *wanted = evaluation->v[i].sha256;

		/* both lists are sorted by digest; equal digests on both sides give every pair */
		while (first < training->n && strcmp(training->v[first].sha256, wanted) < 0)
			first++;
		for (size_t k = first; k < training->n && !strcmp(training->v[k].sha256, wanted);
			k++)
			add_pair(out, &training->v[k], &evaluation->v[i]);
	}
}

void vt_leak_release(struct vt_leak *leak)
{
	vt_strs_release(&leak->subjects);
	free(leak->volume);
	free(leak->patient);
	*leak = (struct vt_leak){ .volume = NULL };
}
