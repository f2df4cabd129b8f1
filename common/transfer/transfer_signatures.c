/* Attestations go along with the records that they are of, also where a record is there already. */
#include <stdlib.h>
#include <string.h>

#include "common/transfer/transfer_internal.h"

/* Does a text, a list of lines, hold every line of another? */
static bool covers(const struct vt_buf *has, const struct vt_buf *wanted)
{
	struct vt_strs lines = VT_STRS_INIT;
	bool all = true;

	/* lines in any order */
	for (const char *at = has->data; at && *at;) {
		size_t n = strcspn(at, "\n");
		char *line = vt_xstrndup(at, n);

		vt_strs_add(&lines, line);
		free(line);
		at += n + (at[n] == '\n');
	}
	vt_strs_sort(&lines);
	for (const char *at = wanted->data; all && at && *at;) {
		size_t n = strcspn(at, "\n");
		char *line = vt_xstrndup(at, n);

		all = !n || vt_strs_hold(&lines, line);
		free(line);
		at += n + (at[n] == '\n');
	}
	vt_strs_release(&lines);
	return all;
}

static int by_text(const void *name, const void *element)
{
	return strcmp(name, *(char *const *)element);
}

/* The names are sorted: they came as they were asked for. */
static const struct vt_buf *text_of(const struct vt_lacking_results *results, const char *name)
{
	char *const *at = results->name.n
		? bsearch(name, results->name.v, results->name.n, sizeof(char *), by_text)
		: NULL;

	return at ? &results->text[at - results->name.v] : NULL;
}

int vt_transfer_find_signatures(struct vt_lacking_results *out, struct vt_peer *from,
	struct vt_peer *to, const struct vt_strs *records, struct vt_err *err)
{
	struct vt_strs names = VT_STRS_INIT, here = VT_STRS_INIT, there = VT_STRS_INIT;
	struct vt_lacking_results ours = { .name = VT_STRS_INIT },
				  theirs = { .name = VT_STRS_INIT };
	int rc;

	for (size_t i = 0; i < records->n; i++) {
		char *name = vt_asprintf("signatures %s", records->v[i]);

		vt_strs_add(&names, name);
		free(name);
	}
	rc = vt_transfer_present(from, &here, &names, err);
	vt_strs_release(&names);
	if (!rc && here.n)
		rc = vt_transfer_present(to, &there, &here, err);
	if (!rc)
		rc = vt_transfer_get(from, &here, vt_transfer_keep, &ours, err);
	if (!rc)
		rc = vt_transfer_get(to, &there, vt_transfer_keep, &theirs, err);
	for (size_t i = 0; !rc && i < ours.n; i++) {
		const struct vt_buf *has = text_of(&theirs, ours.name.v[i]);
		struct vt_reader r = { ours.text[i].data, ours.text[i].len, -1, NULL, NULL };

		if (!has || !covers(has, &ours.text[i]))
			rc = vt_transfer_keep(out, ours.name.v[i], ours.text[i].len, &r, err);
	}
	vt_lacking_results_release(&ours);
	vt_lacking_results_release(&theirs);
	vt_strs_release(&here);
	vt_strs_release(&there);
	return rc;
}
