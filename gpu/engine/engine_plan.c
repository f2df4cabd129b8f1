#include "gpu/engine/engine_plan.h"

#include <string.h>

enum { MOST_RUNS = 1000 };

char *vg_plan_key(const struct vg_conv_spec *spec)
{
	/* indices are enum vg_conv_kind and the storage types */
	static const char *const kinds[] = { "", "forward", "data", "weights" },
				 *const types[] = { "f32", "bf16", "fp16" };

	return vt_asprintf("%s %s x %dx%dx%dx%dx%d y %dx%dx%dx%dx%d k%d s%d p%d d%d",
		kinds[spec->kind], spec->tf32 ? "tf32" : types[spec->type], spec->x.n,
		spec->x.chunks * VG_LANES, spec->x.d, spec->x.h, spec->x.w, spec->y.n,
		spec->y.chunks * VG_LANES, spec->y.d, spec->y.h, spec->y.w, spec->k, spec->stride,
		spec->pad, spec->dilation);
}

char *vg_plan_card(const char *properties)
{
	struct vt_err ignored = VT_ERR_INIT;
	struct vt_json *j = NULL;
	char *card = NULL;

	if (!vt_json_parse(&j, properties, strlen(properties), "device properties", &ignored))
		card = vt_xstrdup(vt_json_text(vt_json_get(j, "deviceName"), "unknown"));
	vt_json_free(j);
	return card;
}

int vg_plan_read(struct vt_json **plan, int *runs, const char *text, const char *card,
	size_t version, struct vt_err *err)
{
	int64_t other, wish;
	const char *name;
	int rc;

	*runs = 0;
	if (!text || !*text)
		return 0;
	rc = vt_json_parse(plan, text, strlen(text), "engine plan", err);
	if (rc)
		return rc;
	/* { "tune": n } asks for a plan; a plan has "convolutions" and what it was made with. */
	wish = vt_json_integer(vt_json_get(*plan, "tune"), 0);
	other = vt_json_integer(vt_json_get(*plan, "cudnn"), 0);
	name = vt_json_text(vt_json_get(*plan, "card"), "");
	if (wish > 0 && !vt_json_get(*plan, "convolutions")) {
		*runs = wish > MOST_RUNS ? (int)MOST_RUNS : (int)wish;
		return 0;
	}
	if (other != (int64_t)version || strcmp(name, card ? card : ""))
		return vt_err_set(err, VT_EDEVICE,
			"the engine plan is for %s with cuDNN %lld, this is %s with cuDNN "
			"%zu; it cannot give the same bits",
			*name ? name : "?", (long long)other, card ? card : "?", version);
	return 0;
}
