/* fuzz_image.c - volumes, patches, weights, and what says what they are. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/image/geometry.h"
#include "common/image/patch_file.h"
#include "common/image/volume.h"
#include "common/nn/model.h"
#include "common/nn/plan.h"
#include "common/nn/state_file.h"
#include "common/seg/checkpoint.h"
#include "common/seg/learned_mask.h"
#include "common/seg/manifest.h"
#include "common/seg/report.h"
#include "tests/fuzz/fuzz.h"

static void volume(const uint8_t *bytes, size_t n)
{
	struct vt_volume v = VT_VOLUME_INIT;
	struct vt_err err = VT_ERR_INIT;
	char *path = fuzz_file("volume.nii", bytes, n);

	if (vt_volume_read(&v, path, VT_VOLUME_FRAMES, &err)) {
		fuzz_refused(&err);
		if (v.raw || v.voxels)
			abort();
	} else {
		volatile double sum = 0;

		if (vt_geometry_count(&v.geometry) * v.n_frames != v.n ||
			vt_geometry_check(&v.geometry, &err))
			abort();
		for (size_t i = 0; i < v.n; i++)
			sum = sum + vt_volume_value(&v, i) + (double)v.voxels[i];
	}
	vt_volume_release(&v);
	free(path);
}

static void read_tensors(const struct vt_state_file *s)
{
	for (size_t i = 0; i < s->n; i++) {
		const struct vt_state_tensor *t = &s->tensor[i];
		struct vt_err err = VT_ERR_INIT;
		float *v;

		if (vt_state_find(s, t->name) != t)
			abort();
		if (t->n > 1 << 20) /* a tensor of stride 0 may be larger than its file */
			continue;
		v = malloc((t->n + 1) * sizeof(*v));
		if (!v)
			abort();
		if (vt_state_copy(t, v, &err))
			fuzz_refused(&err);
		else
			for (size_t k = 0; k < t->n; k++)
				if (!isfinite(v[k]))
					abort();
		free(v);
	}
}

/* Other programs' weights, and safetensors. */
static void weights(const uint8_t *bytes, size_t n)
{
	struct vt_state_file s;
	struct vt_err err = VT_ERR_INIT;
	char *path = fuzz_file("weights", bytes, n);

	if (vt_state_open(&s, path, &err)) {
		fuzz_refused(&err);
	} else {
		read_tensors(&s);
		vt_state_close(&s);
	}
	free(path);
}

static void vtp(const uint8_t *bytes, size_t n)
{
	struct vt_patch_file f;
	struct vt_err err = VT_ERR_INIT;
	char *path = fuzz_file("subject.vtp", bytes, n);

	if (vt_patch_open(&f, path, &err)) {
		fuzz_refused(&err);
	} else {
		volatile float sum = 0;
		float *row = malloc((size_t)f.w * sizeof(*row));

		if (!row || f.n_regions < 0 || f.n_regions > VT_MAX_REGIONS)
			abort();
		for (int c = 0; c < f.c; c++)
			for (int z = 0; z < f.d; z++)
				for (int y = 0; y < f.h; y++) {
					vt_patch_row(row, &f, c, z, y, 0, f.w);
					sum = sum + row[f.w - 1];
				}
		free(row);
		vt_patch_close(&f);
	}
	free(path);
}

static void placement(const uint8_t *bytes, size_t n)
{
	struct vt_json *j = fuzz_json(bytes, n);
	struct vt_placement p;
	struct vt_err err = VT_ERR_INIT;

	if (j && vt_placement_parse(&p, j, &err))
		fuzz_refused(&err);
	else if (j)
		for (int a = 0; a < 3; a++)
			if (p.lo[a] + p.work.dim[a] > p.full.dim[a] || p.axis[a] < 0 ||
				p.axis[a] > 2)
				abort();
	vt_json_free(j);
}

static void manifest(const uint8_t *bytes, size_t n)
{
	struct vt_json *j = fuzz_json(bytes, n);
	struct vt_manifest *m = NULL;
	struct vt_err err = VT_ERR_INIT;

	if (j && vt_manifest_parse(&m, j, "input", &err))
		fuzz_refused(&err);
	else if (j &&
		(m->n_channels < 1 || m->n_channels > VT_MAX_CHANNELS || m->n_regions < 0 ||
			m->n_regions > VT_MAX_REGIONS))
		abort();
	if (m)
		vt_manifest_free(m);
	vt_json_free(j);
}

/* A checkpoint.json that is accepted describes a network whose sizes can be computed with. */
static void checkpoint(const uint8_t *bytes, size_t n)
{
	struct vt_checkpoint c;
	struct vt_err err = VT_ERR_INIT;
	char *path = fuzz_file("checkpoint/checkpoint.json", bytes, n),
	     *dir = vt_path_join(fuzz_dir(), "checkpoint");

	if (vt_checkpoint_open(&c, dir, &err)) {
		fuzz_refused(&err);
	} else {
		struct vt_model_request r = { c.model, vt_json_pointer(c.json, "/model/params"), 1,
			c.n_channels, c.n_outputs, { c.patch[0], c.patch[1], c.patch[2] } };
		struct vt_graph *g = NULL;
		struct vt_plan plan;

		if (vt_model_build(&g, &r, &err)) {
			fuzz_refused(&err);
		} else if (!vt_plan_make(&plan, g, &(struct vt_session_opts){ .blank = true },
				   &err)) {
			if (plan.arena > (size_t)1 << 60)
				abort();
			vt_plan_release(&plan);
		}
		vt_graph_free(g);
		vt_checkpoint_close(&c);
	}
	free(dir);
	free(path);
}

/* model.json of a brain network; its weights are missing, so that a good one ends there. */
static void brain(const uint8_t *bytes, size_t n)
{
	struct vt_learned_mask *m = NULL;
	struct vt_err err = VT_ERR_INIT;
	char *path = fuzz_file("brain/model.json", bytes, n),
	     *dir = vt_path_join(fuzz_dir(), "brain");

	if (!vt_learned_mask_open(&m, dir, NULL, &err))
		abort();
	fuzz_refused(&err);
	free(dir);
	free(path);
}

static const char about[] =
	"{\"format\":1,\"manifest\":{\"format\":1,\"name\":\"m\",\"channels\":[{\"role\":\"t1\","
	"\"files\":[\"{subject}/t1.nii\"]}],\"label\":{\"files\":[\"{subject}/l.nii\"],\"values\":"
	"{\"0\":\"none\",\"1\":\"one\"}},\"regions\":[{\"name\":\"R\",\"values\":[1]}]},"
	"\"model\":{\"name\":\"unet3d\"},\"channels\":[\"t1\"],\"regions\":[\"R\"],"
	"\"patch\":[32,32,32],\"steps\":100}";

/* history.csv, drawn into the report. */
static void history_csv(const uint8_t *bytes, size_t n)
{
	char *text = fuzz_text(bytes, n),
	     *path = fuzz_file("report/checkpoint.json", (const uint8_t *)about, sizeof(about) - 1),
	     *dir = vt_path_join(fuzz_dir(), "report");
	struct vt_member m = { .dir = dir };
	struct vt_segmenter all = { .member = &m, .n = 1, .first = &m.checkpoint };
	struct vt_evaluation e = { .segmenter = &all };
	struct vt_err err = VT_ERR_INIT;
	struct vt_buf page = VT_BUF_INIT;

	if (vt_checkpoint_open(&m.checkpoint, dir, &err))
		abort();
	e.manifest = m.checkpoint.manifest;
	if (vt_report_html(&page, &e, text, &err) || strstr(page.data, "<script"))
		abort();
	vt_buf_release(&page);
	vt_checkpoint_close(&m.checkpoint);
	free(dir);
	free(path);
	free(text);
}

const struct fuzz_target fuzz_image_targets[] = {
	{ "volume", volume },
	{ "weights", weights },
	{ "vtp", vtp },
	{ "placement", placement },
	{ "manifest", manifest },
	{ "checkpoint", checkpoint },
	{ "brain", brain },
	{ "history-csv", history_csv },
	{ NULL, NULL },
};
