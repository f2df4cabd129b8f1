/* Who withdrew by the history, held against consent.json.
 *
 * Only the lines of consent events are parsed: a history has a line for everything that was made.
 * The lines are canonical JSON, so the event's name stands in them in one form, and a text that
 * holds the same words has its quotes escaped.  Chains and digests are `verify`'s matter. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "common/base/fs.h"
#include "common/base/unicode.h"
#include "common/lineage/consent.h"

enum { TRIES = 200 }; /* for the store's lock, twenty a second */

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

/* Forms of the names in the file, sorted. */
static void list_forms(struct vt_strs *forms, const struct vt_consent *consent)
{
	const struct vt_json *list = vt_json_get(consent->j, "withdrawn");

	for (size_t i = 0; list && i < list->n; i++) {
		char *form = vt_unicode_form(text(list->item[i], "subject"));

		vt_strs_add(forms, form);
		free(form);
	}
	vt_strs_sort(forms);
}

static int check_history(const struct vt_consent *consent, const char *dir, struct vt_err *err)
{
	char *path = vt_path_join(dir, "history");
	struct vt_strs events = VT_STRS_INIT, forms = VT_STRS_INIT;
	int rc = vt_fs_is_absent(path) ? 0 : read_events(&events, path, err);

	vt_strs_sort(&events);
	list_forms(&forms, consent);
	for (size_t i = 0; !rc && i < events.n; i++) {
		char *event = events.v[i], *end = strrchr(event, '\n');
		size_t n = (size_t)(end - event) + 1;
		bool last = i + 1 == events.n || strncmp(events.v[i + 1], event, n) != 0;

		if (!last || event[strlen(event) - 1] != 'w')
			continue;
		*end = '\0';
		if (!vt_strs_hold(&forms, event))
			rc = vt_err_set(err, VT_EINTEGRITY,
				"%s/consent.json: the history says that subject %s has withdrawn "
				"consent, and this file does not: the withdrawal was interrupted, "
				"or the file was changed; run `voxtrail consent withdraw` again, "
				"or put the file back from a copy",
				dir, event);
	}
	vt_strs_release(&events);
	vt_strs_release(&forms);
	free(path);
	return rc;
}

static int read_both(struct vt_consent *out, const char *dir, struct vt_err *err)
{
	char *path = vt_path_join(dir, "consent.json");

	if (!vt_consent_read(out, path, err) && check_history(out, dir, err))
		vt_consent_release(out);
	free(path);
	return err->code;
}

/* At most TRIES; who holds it for longer is not withdrawing a consent. */
static void wait_for_lock(int fd)
{
	const struct timespec pause = { 0, 50000000 };

	for (int i = 0; fd >= 0 && i < TRIES && flock(fd, LOCK_SH | LOCK_NB); i++)
		nanosleep(&pause, NULL);
}

int vt_consent_read_store(struct vt_consent *out, const char *dir, struct vt_err *err)
{
	char *path;
	int fd;

	if (read_both(out, dir, err) != VT_EINTEGRITY)
		return err->code;
	/* Somebody may be between the event and the file: under the lock nobody is. */
	path = vt_path_join(dir, "lock");
	fd = open(path, O_RDONLY | O_CLOEXEC);
	wait_for_lock(fd);
	*err = (struct vt_err)VT_ERR_INIT;
	read_both(out, dir, err);
	if (fd >= 0)
		close(fd);
	free(path);
	return err->code;
}
