/* Weights from the golden files: the three forms hold the same values; damaged files are refused
 * and never crash. */
#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/base/rng.h"
#include "common/nn/model.h"
#include "common/nn/state_file.h"
#include "common/nn/weights.h"
#include "tests/check.h"

static const char *const files[] = { "tiny.zip.pt", "tiny.old.pt", "tiny.safetensors" };

static char *golden(const char *name)
{
	return vt_asprintf("%s/tests/golden/weights/%s", getenv("ROOT") ? getenv("ROOT") : ".",
		name);
}

static struct vt_graph *tiny(struct vt_session **s)
{
	static const char params[] = "{\"channels\": 2, \"dilations\": [1, 1]}";
	struct vt_err err = VT_ERR_INIT;
	struct vt_json *j = NULL;
	struct vt_graph *g = NULL;

	if (vt_json_parse(&j, params, strlen(params), "params", &err) ||
		vt_model_build(&g, &(struct vt_model_request){ "meshnet", j, 1, 1, 2, { 4, 4, 4 } },
			&err) ||
		vt_session_new(s, g, &(struct vt_session_opts){ .seed = 9 }, &err)) {
		printf("not ok - %s\n", err.text);
		exit(1);
	}
	vt_json_free(j);
	return g;
}

static void each_form_holds_the_same(void)
{
	struct vt_session *first = NULL, *s = NULL;
	struct vt_graph *g0 = tiny(&first), *g;

	for (int i = 0; i < 3; i++) {
		struct vt_err err = VT_ERR_INIT;
		struct vt_weights_report report;
		char *path = golden(files[i]);

		g = tiny(&s);
		if (vt_weights_load(i ? s : first, path, NULL, &report, &err))
			CHECK_FAIL("%s", err.text);
		CHECK_EQ(report.matched, 14);
		CHECK_STR(report.form, i == 1 ? "module." : "");
		for (int k = 0; i && k < vt_session_n_weights(s); k++)
			CHECK(!memcmp(vt_session_weight(s, k)->value,
				vt_session_weight(first, k)->value,
				vt_session_weight(s, k)->n * sizeof(float)));
		vt_session_free(s);
		vt_graph_free(g);
		free(path);
	}
	CHECK_NEAR((double)vt_session_find(first, "model.0.1.running_var")->value[0], 1, 0);
	vt_session_free(first);
	vt_graph_free(g0);
}

/* What is saved is loaded again, and saving that gives the same bytes. */
static void saved_and_loaded(void)
{
	struct vt_err err = VT_ERR_INIT;
	struct vt_buf a = VT_BUF_INIT, b = VT_BUF_INIT;
	struct vt_session *s = NULL;
	struct vt_graph *g = tiny(&s);
	char *path = vt_asprintf("%s/saved.safetensors", getenv("T") ? getenv("T") : "/tmp");

	CHECK_EQ(vt_weights_save(path, s, NULL, &err), 0);
	CHECK_EQ(vt_fs_read(&a, path, 1 << 20, &err), 0);
	memset(vt_session_weight(s, 0)->value, 0, vt_session_weight(s, 0)->n * sizeof(float));
	CHECK_EQ(vt_weights_load(s, path, NULL, NULL, &err), 0);
	CHECK_EQ(vt_weights_save(path, s, NULL, &err), 0);
	CHECK_EQ(vt_fs_read(&b, path, 1 << 20, &err), 0);
	CHECK(a.len == b.len && !memcmp(a.data, b.data, a.len));
	vt_buf_release(&a);
	vt_buf_release(&b);
	vt_session_free(s);
	vt_graph_free(g);
	free(path);
}

enum { ROUNDS = 3000 };

/* Cuts, bytes changed, bytes repeated: VT_EDATA, or a load of finite values where the damage met
 * nothing that is read. */
static void damage(const char *name, uint64_t seed)
{
	struct vt_err err = VT_ERR_INIT;
	struct vt_buf whole = VT_BUF_INIT;
	struct vt_session *s = NULL;
	struct vt_graph *g = tiny(&s);
	char *path = golden(name),
	     *hurt = vt_asprintf("%s/hurt", getenv("T") ? getenv("T") : "/tmp");
	struct vt_rng r = vt_rng_stream(seed, "damage", 0, 0, 0);
	int refused = 0;

	CHECK_EQ(vt_fs_read(&whole, path, 1 << 20, &err), 0);
	for (int i = 0; i < ROUNDS; i++) {
		size_t n = i % 4 ? whole.len : vt_rng_below(&r, (uint32_t)whole.len);
		char *copy = vt_xmalloc(whole.len);
		int rc;

		memcpy(copy, whole.data, whole.len);
		for (uint32_t k = vt_rng_below(&r, 4); i % 4 && k < 4; k++)
			copy[vt_rng_below(&r, (uint32_t)n)] =
				(char)(vt_rng_below(&r, 3) ? vt_rng_u32(&r) : 0xff);
		if (vt_fs_write_quick(hurt, copy, n, 0644, &err))
			CHECK_FAIL("%s", err.text);
		rc = vt_weights_load(s, hurt, NULL, NULL, &err);
		refused += rc != 0;
		if (rc && rc != VT_EDATA)
			CHECK_FAIL("%s round %d: code %d, %s", name, i, rc, err.text);
		free(copy);
	}
	CHECK(refused > ROUNDS / 3);
	vt_session_free(s);
	vt_graph_free(g);
	vt_buf_release(&whole);
	free(path);
	free(hurt);
}

static void damaged_files_are_refused(void)
{
	for (int i = 0; i < 3; i++)
		damage(files[i], 17 + (uint64_t)i);
}

/* Products of axes that do not fit 64 bits, which would come out small. */
static void shapes_beyond_any_file_are_refused(void)
{
	static const char header[] = "{\"t\":{\"dtype\":\"F32\",\"shape\":[0,4611686018427387904,"
				     "4611686018427387904],\"data_offsets\":[0,0]}}";
	struct vt_err err = VT_ERR_INIT;
	struct vt_state_file file = { .n = 0 };
	struct vt_state_tensor wraps = { .dims = { (int64_t)1 << 40, (int64_t)1 << 24 },
		.n_dims = 2,
		.dtype = "F32" };
	struct vt_buf bytes = VT_BUF_INIT;
	uint64_t len = sizeof(header) - 1;
	char *path = vt_asprintf("%s/empty.safetensors", getenv("T") ? getenv("T") : "/tmp");

	CHECK_EQ(vt_state_add(&file, "t", wraps, 1, &err), VT_EDATA);
	CHECK_EQ(file.n, 0);
	vt_buf_add(&bytes, &len, sizeof(len));
	vt_buf_add(&bytes, header, len);
	CHECK_EQ(vt_fs_write_quick(path, bytes.data, bytes.len, 0644, &err), 0);
	CHECK_EQ(vt_state_open(&file, path, &err), VT_EDATA);
	CHECK(strstr(err.text, "impossible shape"));
	vt_buf_release(&bytes);
	free(path);
}

int main(void)
{
	RUN(each_form_holds_the_same);
	RUN(saved_and_loaded);
	RUN(damaged_files_are_refused);
	RUN(shapes_beyond_any_file_are_refused);
	return check_done();
}
