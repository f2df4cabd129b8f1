#include <stdlib.h>
#include <string.h>

#include "pipelines/runner/datum.h"
#include "pipelines/runner/programs.h"

/* The parts of the transform as one JSON object: what `voxtrail explain` shows and compares. */
static struct vt_json *parts_of(const struct vt_pipeline *pipeline, const struct vt_programs *used)
{
	static const char *const counted[] = { "cmd", "stdin", "errCmd", "errStdin", "env", "user",
		"workingDir", "acceptReturnCode", "image" };
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT), *programs = vt_json_new(VT_JSON_ARRAY);

	for (size_t i = 0; i < sizeof counted / sizeof *counted; i++)
		vt_json_put(j, counted[i],
			vt_json_copy(vt_json_get(pipeline->transform, counted[i])));
	vt_json_put_text(j, "salt", vt_json_text(vt_json_get(pipeline->json, "salt"), ""));
	for (size_t i = 0; i < used->n; i++) {
		struct vt_json *one = vt_json_new(VT_JSON_OBJECT);
		char hex[VT_HEX];

		vt_digest_hex(hex, &used->v[i].digest);
		vt_json_put_text(one, "name", used->v[i].name);
		vt_json_put_text(one, "sha256", hex);
		vt_json_push(programs, one);
	}
	vt_json_put(j, "programs", programs);
	return j;
}

int vt_transform_text(struct vt_buf *out, const struct vt_pipeline *pipeline,
	const struct vt_programs *used, struct vt_err *err)
{
	struct vt_json *j = parts_of(pipeline, used);
	int rc = vt_json_canonical(out, j, err);

	vt_json_free(j);
	return rc ? vt_err_prefix(err, "pipeline %s", pipeline->name) : 0;
}

int vt_transform_hash(struct vt_digest *out, struct vt_programs *used,
	const struct vt_pipeline *pipeline, struct vt_err *err)
{
	struct vt_buf text = VT_BUF_INIT;

	if (vt_programs_find(used, pipeline, err))
		return err->code;
	if (!vt_transform_text(&text, pipeline, used, err))
		*out = vt_digest_bytes(text.data, text.len);
	vt_buf_release(&text);
	return err->code;
}

struct vt_json *vt_datum_inputs(const struct vt_datum *datum)
{
	struct vt_json *all = vt_json_new(VT_JSON_ARRAY);
	size_t length = 0;

	for (size_t i = 0; i < datum->n; i++)
		length += datum->file[i].entry ? strlen(datum->file[i].entry->path) : 0;
	for (size_t i = 0; i < datum->n && datum->n <= VT_DATUM_INPUTS && length < VT_DATUM_PATHS;
		i++) {
		const struct vt_datum_file *f = &datum->file[i];
		struct vt_json *one = vt_json_new(VT_JSON_ARRAY);
		char hex[VT_HEX];

		if (f->in->warm) {
			vt_json_free(one);
			continue;
		}
		vt_json_push(one, vt_json_new_text(f->in->name));
		vt_json_push(one, vt_json_new_text(f->in->repo));
		vt_json_push(one, vt_json_new_text(f->entry->path));
		vt_digest_hex(hex, &f->entry->id);
		if (f->in->reference)
			vt_json_push(one, vt_json_new_text("r"));
		else if (f->in->empty_files)
			vt_json_push(one, vt_json_new_text("e"));
		else if (f->entry->dir)
			vt_json_push(one, vt_json_new_text("d"));
		else
			vt_json_push(one,
				vt_json_new_text(f->seen->tree->file[f->entry->first].executable
						? "x"
						: "f"));
		if (!f->in->reference)
			vt_json_push(one, vt_json_new_text(hex));
		vt_json_push(all, one);
	}
	if (datum->n > VT_DATUM_INPUTS || length >= VT_DATUM_PATHS) {
		vt_json_free(all);
		return NULL;
	}
	return all;
}

void vt_datum_key(struct vt_digest *out, const struct vt_datum *datum,
	const struct vt_digest *transform)
{
	struct vt_buf key = VT_BUF_INIT;

	vt_buf_sized(&key, "datum2");
	vt_buf_add(&key, transform->b, sizeof transform->b);
	for (size_t i = 0; i < datum->n; i++) {
		const struct vt_datum_file *f = &datum->file[i];
		if (f->in->warm)
			continue;
		vt_buf_sized(&key, f->in->name);
		vt_buf_sized(&key, f->in->repo);
		vt_buf_sized(&key, f->entry->path);
		if (f->in->reference) {
			vt_buf_str(&key, "r");
			continue;
		}
		vt_buf_str(&key, f->in->empty_files ? "e" : "c");
		/* a directory's id covers the modes of its files */
		if (!f->entry->dir)
			vt_buf_char(&key,
				f->seen->tree->file[f->entry->first].executable ? 'x' : 'f');
		vt_buf_add(&key, f->entry->id.b, sizeof f->entry->id.b);
	}
	*out = vt_digest_bytes(key.data, key.len);
	vt_buf_release(&key);
}
