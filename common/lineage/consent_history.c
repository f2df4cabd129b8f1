/* Who withdrew by the history, held against consent.json.
 *
 * Only the lines of consent events are parsed: a history has a line for everything that was made.
 * The lines are canonical JSON, so the event's name stands in them in one form, and a text that
 * holds the same words has its quotes escaped.  Chains and digests are `verify`'s matter. */
#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/base/unicode.h"
#include "common/lineage/consent.h"

static const char *text(const struct vt_json *json, const char *key)
{
	return vt_json_text(vt_json_get(json, key), "");
}

/* Adds "FORM, newline, place in the history, w or r" of one line, which begins at `line`. */
static int add_event(struct vt_strs *events, const char *line, size_t n, const char *path,
	struct vt_err *err)
{
	struct vt_json *j = NULL;
	const char *event, *subject;
	char kind = ' ';

	if (vt_json_parse(&j, line, n, path, err))
		return vt_err_as(err, VT_EINTEGRITY);
	event = text(j, "event");
	subject = text(vt_json_get(j, "detail"), "subject");
	if (!strcmp(event, "consent-withdrawn"))
		kind = 'w';
	else if (!strcmp(event, "consent-restored"))
		kind = 'r';
	if (kind != ' ') {
		char *form = vt_unicode_form(subject),
		     *said = vt_asprintf("%s\n%020zu %c", form, events->n, kind);

		vt_strs_add(events, said);
		free(said);
		free(form);
	}
	vt_json_free(j);
	return 0;
}

static int read_events(struct vt_strs *events, const char *path, struct vt_err *err)
{
	static const char word[] = "\"event\":\"consent-";
	struct vt_map map;
	const char *at, *end;
	int rc = vt_fs_map(&map, path, err);

	if (rc)
		return rc;
	end = (const char *)map.data + map.size;
	for (at = (const char *)map.data; !rc && at < end;) {
		const char *hit = memmem(at, (size_t)(end - at), word, sizeof(word) - 1), *line,
			   *newline;

		if (!hit)
			break;
		line = memrchr(at, '\n', (size_t)(hit - at));
		line = line ? line + 1 : at;
		newline = memchr(hit, '\n', (size_t)(end - hit));
		if (!newline) /* a process was killed while it wrote */
			break;
		rc = add_event(events, line, (size_t)(newline - line), path, err);
		at = newline + 1;
	}
	vt_fs_unmap(&map);
	return rc;
}

static int check_history(const struct vt_consent *consent, const char *dir, struct vt_err *err)
{
	char *path = vt_path_join(dir, "history");
	struct vt_strs events = VT_STRS_INIT;
	int rc = vt_fs_is_absent(path) ? 0 : read_events(&events, path, err);

	vt_strs_sort(&events);
	for (size_t i = 0; !rc && i < events.n; i++) {
		char *event = events.v[i], *end = strrchr(event, '\n');
		size_t n = (size_t)(end - event) + 1;
		bool last = i + 1 == events.n || strncmp(events.v[i + 1], event, n) != 0;

		if (!last || event[strlen(event) - 1] != 'w')
			continue;
		*end = '\0';
		if (!vt_consent_withdrawn(consent, event))
			rc = vt_err_set(err, VT_EINTEGRITY,
				"%s/consent.json: the history says that subject %s has withdrawn "
				"consent, and this file does not; put it back from a copy, or run "
				"`voxtrail consent withdraw` again",
				dir, event);
	}
	vt_strs_release(&events);
	free(path);
	return rc;
}

int vt_consent_read_store(struct vt_consent *out, const char *dir, struct vt_err *err)
{
	char *path = vt_path_join(dir, "consent.json");

	if (!vt_consent_read(out, path, err) && check_history(out, dir, err))
		vt_consent_release(out);
	free(path);
	return err->code;
}
