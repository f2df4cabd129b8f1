/* fuzz_stage.c - tables, scores and descriptions that stages and the tool read beside volumes. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/csv.h"
#include "common/base/fs.h"
#include "common/seg/manifest_draft.h"
#include "common/seg/published.h"
#include "common/seg/search_space.h"
#include "common/seg/select.h"
#include "common/stage/stage_internal.h"
#include "pipelines/tool/tensor_diff.h"
#include "tests/fuzz/fuzz.h"

/* What was read and written again reads as the same. */
static void csv(const uint8_t *bytes, size_t n)
{
	struct vt_csv t, again;
	struct vt_buf out = VT_BUF_INIT;
	struct vt_err err = VT_ERR_INIT;

	if (vt_csv_parse(&t, (const char *)bytes, n, "input", &err)) {
		fuzz_refused(&err);
		return;
	}
	if (t.cells.n != t.n_columns * (t.n_rows + 1))
		abort();
	for (size_t i = 0; i < t.cells.n; i++) {
		double v;

		vt_csv_quote(&out, t.cells.v[i]);
		vt_buf_char(&out, (i + 1) % t.n_columns ? ',' : '\n');
		if (i >= t.n_columns &&
			!vt_csv_number(&v, &t, i / t.n_columns - 1, i % t.n_columns, &err) &&
			!isfinite(v))
			abort();
		err = (struct vt_err)VT_ERR_INIT;
	}
	if (vt_csv_parse(&again, out.data ? out.data : "", out.len, "again", &err) ||
		again.n_rows != t.n_rows || again.n_columns != t.n_columns)
		abort();
	vt_csv_release(&again);
	vt_csv_release(&t);
	vt_buf_release(&out);
}

/* metrics.json of an evaluation. */
static void metrics(const uint8_t *bytes, size_t n)
{
	char *path = fuzz_file("models/one/metrics.json", bytes, n),
	     *root = vt_path_join(fuzz_dir(), "models");
	struct vt_scored *s = NULL;
	struct vt_err err = VT_ERR_INIT;
	size_t count = 0;

	if (vt_scores_of_models(&s, &count, root, "dice", "", &err))
		fuzz_refused(&err);
	else
		vt_scores_free(s, count);
	free(root);
	free(path);
}

/* model.json of a published network. */
static void published(const uint8_t *bytes, size_t n)
{
	char *path = fuzz_file("published/model.json", bytes, n),
	     *dir = vt_path_join(fuzz_dir(), "published");
	struct vt_published p;
	struct vt_err err = VT_ERR_INIT;

	if (vt_published_read(&p, dir, &err)) {
		fuzz_refused(&err);
	} else {
		if (p.classes < 2 || p.classes > 255)
			abort();
		for (int c = -1; c <= p.classes; c++)
			vt_published_class(&p, c < 0 ? 0 : c);
		vt_published_release(&p);
	}
	free(dir);
	free(path);
}

/* A scan of one voxel as NIfTI-1 has it. */
static void write_scan(const char *name)
{
	uint8_t b[356] = { 0x5c, 0x01 };
	const uint8_t dim[] = { 3, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1 };
	const float one[] = { 1, 1, 1, 1 }, offset = 352;

	memcpy(b + 40, dim, sizeof(dim));
	b[70] = 16; /* float32 */
	b[72] = 32;
	memcpy(b + 76, one, sizeof(one));
	memcpy(b + 108, &offset, sizeof(offset));
	memcpy(b + 344, "n+1", 4);
	free(fuzz_file(name, b, sizeof(b)));
}

/* dataset.json of a data set, and the JSON beside a scan; a draft says what it made of them. */
static void draft(const uint8_t *bytes, size_t n)
{
	char *dir = vt_path_join(fuzz_dir(), "dataset"),
	     *path = fuzz_file("dataset/dataset.json", bytes, n),
	     *beside = fuzz_file("dataset/imagesTr/case_0000.json", bytes, n);
	struct vt_buf remarks = VT_BUF_INIT;
	struct vt_json *j = NULL;
	struct vt_err err = VT_ERR_INIT;

	write_scan("dataset/imagesTr/case_0000.nii");
	write_scan("dataset/labelsTr/case.nii");
	if (vt_manifest_draft(&j, &remarks, dir, NULL, &err))
		fuzz_refused(&err);
	else if (j->type != VT_JSON_OBJECT)
		abort();
	vt_json_free(j);
	vt_buf_release(&remarks);
	free(beside);
	free(path);
	free(dir);
}

/* The space of a search: what is drawn of it is an object. */
static void space(const uint8_t *bytes, size_t n)
{
	struct vt_json *j = fuzz_json(bytes, n), *trial = vt_json_new(VT_JSON_OBJECT);
	struct vt_err err = VT_ERR_INIT;

	for (uint64_t k = 1; j && k < 4 && !err.code; k++)
		if (vt_search_draw(trial, j, 1, k, &err))
			fuzz_refused(&err);
	vt_json_free(trial);
	vt_json_free(j);
}

struct params {
	int64_t number, word;
	double real;
	bool yes;
	const char *text, *list;
};
static const char *const words[] = { "one", "two", NULL };
static const struct vt_param params[] = {
	VT_INT("number", number, 2, 0, 32, "voxel", ""),
	VT_ENUM("word", word, words, 0, ""),
	VT_REAL("real", real, 0.5, 0, 1, "", ""),
	VT_BOOL("yes", yes, 0, ""),
	VT_TEXT("text", text, "", "", ""),
	VT_JSON_TEXT("list", list, "[]", "", ""),
	{ 0 },
};
static const struct vt_port ports[] = { { 0 } };
static const struct vt_stage stage = { .name = "fuzz",
	.version = "1",
	.in = ports,
	.params = params,
	.params_size = sizeof(struct params) };

static void recipe(const uint8_t *bytes, size_t n)
{
	static const char *const given[6];
	char *path = fuzz_file("recipe.json", bytes, n);
	struct vt_stage_run r = { .stage = &stage, .recipe = path };
	struct vt_err err = VT_ERR_INIT;

	if (vt_stage_set_params(&r, given, &err)) {
		fuzz_refused(&err);
	} else {
		const struct params *p = (const struct params *)r.params;

		if (p->number < 0 || p->number > 32 || p->word < 0 || p->word > 1 ||
			!(p->real >= 0 && p->real <= 1) || !p->text || !p->list)
			abort();
	}
	free(r.params);
	vt_json_free(r.params_json);
	free(path);
}

/* Two safetensors files side by side. */
static void tensor_diff(const uint8_t *bytes, size_t n)
{
	char *a = fuzz_file("a.safetensors", bytes, n), *b = fuzz_file("b.safetensors", bytes, n);
	struct vt_buf out = VT_BUF_INIT;
	struct vt_err err = VT_ERR_INIT;

	if (vt_tensor_diff(&out, a, b, &err))
		fuzz_refused(&err);
	vt_buf_release(&out);
	free(a);
	free(b);
}

const struct fuzz_target fuzz_stage_targets[] = {
	{ "csv", csv },
	{ "metrics", metrics },
	{ "published", published },
	{ "draft", draft },
	{ "space", space },
	{ "recipe", recipe },
	{ "tensor-diff", tensor_diff },
	{ NULL, NULL },
};
