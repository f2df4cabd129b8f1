#include "common/store/pin.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/base/fs.h"
#include "common/base/fault.h"
#include "common/store/history.h"
#include "common/store/store_internal.h"

static const char *const kinds[][2] = { { "commit", "commits" }, { "record", "records" },
	{ "tree", "trees" }, { "blob", "objects" } };

static const char *kind_of(const struct vt_store *store, const struct vt_digest *id)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		char *path = vt_store_path(store, kinds[i][1], id);
		bool there = vt_fs_exists(path);

		free(path);
		if (there)
			return kinds[i][0];
	}
	return NULL;
}

static bool is_date(const char *text)
{
	static const int days[] = { 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	int month, day;

	/* YYYY-MM-DD; leap years are not told apart */
	if (strlen(text) != 10 || strspn(text, "0123456789") != 4 || text[4] != '-' ||
		strspn(text + 5, "0123456789") != 2 || text[7] != '-' ||
		strspn(text + 8, "0123456789") != 2)
		return false;
	month = (text[5] - '0') * 10 + text[6] - '0';
	day = (text[8] - '0') * 10 + text[9] - '0';
	return month >= 1 && month <= 12 && day >= 1 && day <= days[month - 1];
}

static void today(char out[16])
{
	time_t now = time(NULL);
	struct tm tm;

	/* in UTC, whatever the machine's zone */
	gmtime_r(&now, &tm);
	strftime(out, 16, "%Y-%m-%d", &tm);
}

bool vt_pin_is_over(const struct vt_pin *pin)
{
	char now[16];

	today(now);
	/* dates in this form compare as texts; the last day is included */
	return *pin->until && strcmp(pin->until, now) < 0;
}

static char *path_of(const struct vt_store *store, const char *id_hex)
{
	return vt_asprintf("%s/pins/%s.json", store->dir, id_hex);
}

static void release(struct vt_pin *pin)
{
	free(pin->reason);
	free(pin->until);
	*pin = (struct vt_pin){ .kind = "" };
}

static int read_pin(struct vt_pin *out, const char *path, struct vt_err *err)
{
	struct vt_json *j = NULL;
	struct vt_digest d;
	int rc = vt_json_read(&j, path, err);
	const char *id = vt_json_text(vt_json_get(j, "id"), ""),
		   *kind = vt_json_text(vt_json_get(j, "kind"), ""),
		   *until = vt_json_text(vt_json_get(j, "until"), "");

	/* release() may follow whatever fails below */
	*out = (struct vt_pin){ .kind = NULL };
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (!strcmp(kind, kinds[i][0]))
			out->kind = kinds[i][0];
	if (!rc &&
		(vt_json_integer(vt_json_get(j, "format"), 0) != 1 || !out->kind ||
			!vt_digest_parse(&d, id) || (*until && !is_date(until))))
		rc = vt_err_set(err, VT_EINTEGRITY,
			"%s: not a pin that this version knows; put it right or remove it", path);
	if (!rc) {
		memcpy(out->id, id, VT_HEX);
		out->reason = vt_xstrdup(vt_json_text(vt_json_get(j, "reason"), ""));
		out->until = vt_xstrdup(until);
		out->time = vt_json_integer(vt_json_get(j, "time"), 0);
	}
	vt_json_free(j);
	return rc;
}

static int write_pin(struct vt_store *store, const char *id_hex, const char *kind,
	const char *reason, const char *until, struct vt_err *err)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT);
	struct vt_buf text = VT_BUF_INIT;
	char *path = path_of(store, id_hex), *dir = vt_path_join(store->dir, "pins");
	int rc;

	assert(store->lock_depth > 0);
	vt_json_put_int(j, "format", 1);
	vt_json_put_text(j, "id", id_hex);
	vt_json_put_text(j, "kind", kind);
	vt_json_put_text(j, "reason", reason);
	vt_json_put_int(j, "time", (int64_t)time(NULL));
	vt_json_put_text(j, "until", until);
	rc = vt_json_canonical(&text, j, err);
	if (!rc)
		rc = vt_fs_mkdirs(dir, err);
	if (!rc && vt_fault("pin.write"))
		rc = vt_err_errno(err, VT_EIO, "%s: cannot write", path);
	if (!rc)
		rc = vt_fs_write(path, text.data, text.len, 0644, err);
	if (!rc)
		/* pins/ itself may be new */
		rc = vt_fs_sync_dir(store->dir, err);
	vt_json_free(j);
	vt_buf_release(&text);
	free(dir);
	free(path);
	return rc;
}

/* The event is there before the pin comes or goes. */
static int append_event(struct vt_store *store, const char *event, const char *id_hex,
	const char *reason, const char *until, struct vt_err *err)
{
	struct vt_json *detail = vt_json_new(VT_JSON_OBJECT);

	vt_json_put_text(detail, "id", id_hex);
	vt_json_put_text(detail, "reason", reason);
	vt_json_put_text(detail, "until", until);
	return vt_history_append(store, event, detail, err);
}

int vt_pin_add(struct vt_store *store, const char *id_hex, const char *reason, const char *until,
	struct vt_err *err)
{
	struct vt_pin old = { .kind = "" };
	struct vt_digest id;
	const char *kind;
	char *path;
	int rc;

	if (!vt_digest_parse(&id, id_hex))
		return vt_err_set(err, VT_EUSAGE, "\"%s\" is not an id: 64 digits 0-9, a-f",
			id_hex);
	if (*until && !is_date(until))
		return vt_err_set(err, VT_EUSAGE, "\"%s\" is not a date; write YYYY-MM-DD", until);
	/* in-use before the lock, as gc takes them: what is pinned cannot be swept in between */
	rc = vt_store_use(store, err);
	if (!rc)
		rc = vt_store_lock(store, err);
	if (rc)
		return rc;
	kind = kind_of(store, &id);
	path = path_of(store, id_hex);
	if (!kind)
		rc = vt_err_set(err, VT_ENOINPUT, "%s: no commit, record, tree or blob of %s",
			id_hex, store->dir);
	if (!rc && vt_fs_exists(path))
		rc = read_pin(&old, path, err);
	/* a pin is prolonged, never shortened */
	if (!rc && old.until && *until && (!*old.until || strcmp(until, old.until) < 0))
		rc = vt_err_set(err, VT_EUSAGE,
			"%s is pinned %s%s already; remove that pin to shorten it", id_hex,
			*old.until ? "until " : "for good", old.until);
	if (!rc)
		rc = append_event(store, "pinned", id_hex, reason, until, err);
	if (!rc)
		rc = write_pin(store, id_hex, kind, reason, until, err);
	if (!rc)
		vt_history_settled(store);
	vt_store_unlock(store);
	release(&old);
	free(path);
	return rc;
}

int vt_pin_remove(struct vt_store *store, const char *id_hex, enum vt_pin_removal how,
	struct vt_err *err)
{
	struct vt_pin p = { .kind = "" };
	struct vt_digest id;
	char *path;
	int rc;

	if (!vt_digest_parse(&id, id_hex))
		return vt_err_set(err, VT_EUSAGE, "\"%s\" is not an id: 64 digits 0-9, a-f",
			id_hex);
	rc = vt_store_lock(store, err);
	if (rc)
		return rc;
	path = path_of(store, id_hex);
	if (!vt_fs_exists(path))
		rc = vt_err_set(err, VT_ENOINPUT, "%s is not pinned", id_hex);
	else
		rc = read_pin(&p, path, err);
	/* an earlier promise is kept unless force says otherwise */
	if (!rc && how != VT_PIN_BEFORE_ITS_DATE && *p.until && !vt_pin_is_over(&p))
		rc = vt_err_set(err, VT_EUSAGE,
			"%s is pinned until %s (%s); --force removes the pin all the same", id_hex,
			p.until, p.reason);
	if (!rc)
		rc = append_event(store, "unpinned", id_hex, p.reason, p.until, err);
	if (!rc && unlink(path))
		rc = vt_err_errno(err, VT_EIO, "%s: cannot remove", path);
	if (!rc)
		vt_history_settled(store);
	vt_store_unlock(store);
	release(&p);
	free(path);
	return rc;
}

int vt_pin_list(struct vt_pins *out, struct vt_store *store, struct vt_err *err)
{
	char *dir = vt_path_join(store->dir, "pins");
	struct vt_strs names = VT_STRS_INIT;
	int rc = vt_fs_is_dir(dir) ? vt_fs_list(&names, dir, err) : 0;

	*out = (struct vt_pins){ NULL, 0, 0 };
	for (size_t i = 0; !rc && i < names.n; i++) {
		char *path = vt_path_join(dir, names.v[i]);

		if (out->n == out->cap) {
			out->cap = out->cap ? 2 * out->cap : 16;
			out->v = vt_xrealloc(out->v, out->cap * sizeof(*out->v));
		}
		/* what a killed process left is no pin */
		if (!strstr(names.v[i], ".tmp-")) {
			rc = read_pin(&out->v[out->n], path, err);
			out->n += !rc;
		}
		free(path);
	}
	vt_strs_release(&names);
	free(dir);
	if (rc)
		vt_pins_release(out);
	return rc;
}

void vt_pins_release(struct vt_pins *pins)
{
	for (size_t i = 0; i < pins->n; i++)
		release(&pins->v[i]);
	free(pins->v);
	*pins = (struct vt_pins){ NULL, 0, 0 };
}
