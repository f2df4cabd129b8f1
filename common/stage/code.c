/* What computes in this execution besides its executable.
 *
 * Libraries that the environment put in the place of the system's, by LD_PRELOAD, LD_LIBRARY_PATH
 * or LD_AUDIT, make another program of it: its digest is then the SHA-256 of the canonical JSON
 * {"binary": digest of the executable, "loaded": [{"name", "sha256"}..]}, so that nothing is reused
 * of what it gave, and the record notes them.  All others are the system's; they are observed, in
 * no id: equal work has equal ids on machines that differ in an update of libc. */
#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/base/loaded.h"
#include "common/stage/stage_internal.h"

#define UNKNOWN "unknown"

/* [{"name", "sha256"}..] of those that are wanted; a file that cannot be read has no digest. */
static struct vt_json *list(bool (*wanted)(const struct vt_loaded_one *one))
{
	struct vt_json *all = vt_json_new(VT_JSON_ARRAY);
	struct vt_loaded l;

	vt_loaded_list(&l);
	for (size_t i = 0; i < l.n; i++) {
		struct vt_json *one;
		struct vt_err none = VT_ERR_INIT;
		struct vt_digest d;
		char hex[VT_HEX] = UNKNOWN;
		uint64_t size;

		if (!wanted(&l.v[i]))
			continue;
		if (!vt_digest_file(&d, &size, l.v[i].path, &none))
			vt_digest_hex(hex, &d);
		one = vt_json_new(VT_JSON_OBJECT);
		vt_json_put_text(one, "name", vt_path_name(l.v[i].path));
		vt_json_put_text(one, "sha256", hex);
		vt_json_push(all, one);
	}
	vt_loaded_release(&l);
	return all;
}

static bool is_swapped(const struct vt_loaded_one *one)
{
	return one->swapped;
}

static bool is_any(const struct vt_loaded_one *one)
{
	(void)one;
	return true;
}

/* The GPU plugin and whatever else is ours. */
static bool is_plugin(const struct vt_loaded_one *one)
{
	return !strncmp(vt_path_name(one->path), "libvoxtrail", 11);
}

int vt_stage_identify(struct vt_stage_run *run, struct vt_err *err)
{
	struct vt_json *swapped, *j;
	struct vt_buf text = VT_BUF_INIT;
	char hex[VT_HEX];
	uint64_t size;
	int rc = vt_digest_file(&run->binary, &size, "/proc/self/exe", err);

	if (rc)
		return rc;
	swapped = list(is_swapped);
	for (size_t i = 0; !rc && i < swapped->n; i++)
		if (!strcmp(vt_json_text(vt_json_get(swapped->item[i], "sha256"), ""), UNKNOWN))
			rc = vt_err_set(err, VT_ENOINPUT,
				"%s, a library that the environment puts into this program, cannot "
				"be read: what computes here is not known",
				vt_json_text(vt_json_get(swapped->item[i], "name"), ""));
	if (rc || !swapped->n) {
		vt_json_free(swapped);
		return rc;
	}
	vt_digest_hex(hex, &run->binary);
	j = vt_json_new(VT_JSON_OBJECT);
	vt_json_put_text(j, "binary", hex);
	vt_json_put(j, "loaded", swapped);
	vt_json_put(run->notes, "loaded", vt_json_copy(swapped));
	rc = vt_json_canonical(&text, j, err);
	if (!rc)
		run->binary = vt_digest_bytes(text.data, text.len);
	vt_json_free(j);
	vt_buf_release(&text);
	return rc;
}

void vt_stage_note_plugin(struct vt_stage_run *run)
{
	struct vt_json *found = list(is_plugin);

	if (found->n)
		vt_json_put(run->notes, "plugin", found);
	else
		vt_json_free(found);
}

struct vt_json *vt_stage_libraries(void)
{
	return list(is_any);
}
