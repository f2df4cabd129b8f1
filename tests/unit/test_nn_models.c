/* Every network has the published number of parameters, describes itself, and refuses params and
 * patches that do not fit. */
#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/nn/model.h"
#include "tests/check.h"

static struct vt_graph *built(const char *name, const char *params, int in_c, int out_c, int edge,
	struct vt_err *err)
{
	struct vt_json *j = NULL;
	struct vt_graph *g = NULL;

	if (!vt_json_parse(&j, params, strlen(params), "params", err))
		vt_model_build(&g,
			&(struct vt_model_request){ name, j, 1, in_c, out_c, { edge, edge, edge } },
			err);
	vt_json_free(j);
	return g;
}

static void counts(const char *name, const char *params, int in_c, int out_c, int edge, size_t want)
{
	struct vt_err err = VT_ERR_INIT;
	struct vt_graph *g = built(name, params, in_c, out_c, edge, &err);

	if (!g)
		CHECK_FAIL("%s %s: %s", name, params, err.text);
	else if (vt_graph_parameters(g) != want)
		CHECK_FAIL("%s %s: %zu parameters, want %zu", name, params, vt_graph_parameters(g),
			want);
	vt_graph_free(g);
}

static void u_nets(void)
{
	counts("unet3d", "{}", 4, 3, 64, 23152563);
	counts("unet3d", "{\"deep_supervision\": true}", 4, 3, 64, 23154735);
	counts("unet3d", "{\"half_first\": true}", 4, 3, 64, 19167819);
	counts("unet3d", "{\"half_first\": true, \"deep_supervision\": true}", 4, 3, 64, 19169991);
	counts("unet3d", "{\"width\": 24}", 4, 3, 64, 5790939);
	counts("unet3d", "{\"width\": 32}", 4, 3, 64, 10292515);
	counts("unet3d-cbam", "{}", 4, 3, 64, 23205588);
	counts("unet3d-cbam", "{\"deep_supervision\": true}", 4, 3, 64, 23207760);
	counts("attention-unet", "{}", 4, 3, 64, 5910443);
	counts("nnunet-plain", "{}", 4, 3, 64, 31198991);
	counts("residual-unet", "{}", 4, 3, 64, 4810074);
	counts("residual-unet", "{\"residual_units\": 0}", 4, 3, 64, 1981771);
	counts("catalyst-unet", "{}", 1, 3, 64, 25115139);
	counts("catalyst-unet", "{}", 1, 31, 64, 25116959);
	counts("catalyst-unet", "{}", 1, 104, 64, 25121704);
}

static void v_nets(void)
{
	counts("vnet", "{}", 4, 1, 64, 12241958);
	counts("vnet", "{\"act\": \"elu\"}", 4, 1, 64, 12240261);
	counts("vnet", "{}", 4, 4, 64, 12253988);
	counts("vnet", "{}", 3, 1, 64, 12241958 - 125 * 16); /* any number of channels to 16 */
	counts("vnet", "{}", 15, 1, 64, 12241958 + 11 * 125 * 16);
	counts("vnet", "{\"variant\": \"original\"}", 4, 3, 64, 45607906);
	counts("vnet", "{\"variant\": \"original\"}", 1, 2, 64, 45597898);
}

static void segresnets(void)
{
	counts("segresnet", "{}", 4, 3, 64, 4702227);
	counts("segresnet", "{\"init_filters\": 8}", 4, 3, 64, 1176843);
	counts("segresnet", "{\"init_filters\": 32}", 4, 3, 64, 18798627);
	counts("segresnet", "{\"vae\": true}", 4, 3, 128, 11060391);
}

static void vae_at(int z, int y, int x, size_t want)
{
	struct vt_err err = VT_ERR_INIT;
	struct vt_json *j = NULL;
	struct vt_graph *g = NULL;

	if (vt_json_parse(&j, "{\"vae\":true}", 12, "params", &err) ||
		vt_model_build(&g,
			&(struct vt_model_request){ "segresnet", j, 1, 4, 3, { z, y, x } }, &err))
		CHECK_FAIL("%s", err.text);
	else
		CHECK_EQ(vt_graph_parameters(g), want);
	vt_json_free(j);
	vt_graph_free(g);
}

static void the_vae_depends_on_the_patch(void)
{
	vae_at(160, 192, 128, 16572583);
	vae_at(224, 224, 144, 26464999);
}

static void meshnets(void)
{
	static const struct {
		const char *variant;
		int classes;
		size_t want;
	} nets[] = {
		{ "small", 3, 72516 },
		{ "small", 31, 73132 },
		{ "small", 104, 74738 },
		{ "large", 3, 820266 },
		{ "large", 31, 822282 },
		{ "large", 104, 827538 },
		{ "model5_gw_ae", 3, 5598 },
		{ "model11_gw_ae", 3, 23290 },
		{ "model20chan3cls", 3, 87183 },
		{ "model18cls", 18, 96408 },
		{ "model30chan", 18, 196038 },
		{ "model30chan", 50, 197030 },
		{ "model21_104class", 104, 86372 },
		{ "mindgrab", 2, 146237 },
	};

	for (size_t i = 0; i < sizeof(nets) / sizeof(nets[0]); i++) {
		char *params = vt_asprintf("{\"variant\": \"%s\"}", nets[i].variant);

		counts("meshnet", params, 1, nets[i].classes, 16, nets[i].want);
		free(params);
	}
	counts("meshnet",
		"{\"variant\": \"mindgrab\", \"channels\": 21, \"dilations\": [1, 1, 1, 2, 4, 8, "
		"1], \"norm\": \"batch\", \"act\": \"relu\", \"bias\": true}",
		1, 3, 16, 72516);
}

static void med3d(void)
{
	static const struct {
		const char *depth;
		size_t backbone, segment;
	} nets[] = {
		{ "10", 14355520, 14514464 },
		{ "18", 32986176, 33145120 },
		{ "34", 63295808, 63454752 },
		{ "50", 46155072, 46707232 },
		{ "101", 85201216, 85753376 },
		{ "152", 117359936, 117912096 },
		{ "200", 126559552, 127111712 },
	};

	for (size_t i = 0; i < sizeof(nets) / sizeof(nets[0]); i++) {
		char *params = vt_asprintf("{\"depth\": \"%s\"}", nets[i].depth),
		     *all = vt_asprintf("{\"depth\": \"%s\", \"branches\": 8}", nets[i].depth);
		char *class =
			vt_asprintf("{\"depth\": \"%s\", \"head\": \"classify\"}", nets[i].depth);

		counts("med3d-resnet", params, 1, 2, 32, nets[i].segment);
		counts("med3d-resnet", all, 1, 2, 32,
			nets[i].backbone + 8 * (nets[i].segment - nets[i].backbone));
		counts("med3d-resnet", class, 1, 2, 32,
			nets[i].backbone + 2 * (i < 3 ? 512 : 2048) + 2);
		free(params);
		free(all);
		free(class);
	}
	counts("denseaspp", "{}", 1, 2, 32, 46155072 + 14778242);
}

static void refused(const char *name, const char *params, int in_c, int edge, const char *why)
{
	struct vt_err err = VT_ERR_INIT;
	struct vt_graph *g = built(name, params, in_c, 3, edge, &err);

	if (g || err.code != VT_EUSAGE || !strstr(err.text, why))
		CHECK_FAIL("%s %s: code %d, \"%s\", want \"%s\"", name, params, err.code, err.text,
			why);
	vt_graph_free(g);
}

static void refuses(void)
{
	refused("segresnet", "{\"filters\": 8}", 4, 64,
		"segresnet has no param \"filters\"; it takes init_filters");
	refused("segresnet", "{\"init_filters\": 1000}", 4, 64,
		"init_filters must be a number from 8 to 128");
	refused("segresnet", "{\"blocks_up\": [1, 1]}", 4, 64, "there must be one less");
	refused("segresnet", "{\"vae\": true}", 4, 24, "must be a multiple of 16");
	refused("segresnet", "{\"vae\": \"yes\"}", 4, 64, "vae must be a number");
	refused("segresnet", "[8]", 4, 64, "must be a JSON object");
	refused("meshnet", "{\"act\": \"tanh\"}", 1, 16,
		"act must be one of \"relu\", \"elu\", \"gelu\"");
	refused("meshnet", "{\"dilations\": 3}", 1, 16, "dilations takes a list");
	refused("meshnet", "{\"dilations\": [1, 99]}", 1, 16,
		"dilations[1] must be a whole number from 1 to 64");
	refused("unet3d", "{}", 4, 20, "must be a multiple of 8");
	refused("nnunet-plain", "{}", 4, 48, "must be a multiple of 32");
	refused("vnet", "{}", 17, 64, "takes 1 to 16 channels");
	refused("vnet", "{\"width\": 4}", 5, 64, "takes 1 to 4 channels");
	refused("med3d-resnet", "{\"output_stride\": \"32\"}", 1, 64,
		"output_stride 32 is for the heads");
	refused("med3d-resnet", "{\"output_stride\": \"32\", \"head\": \"coarse\"}", 1, 48,
		"must be a multiple of 32");
	refused("resnet50", "{}", 1, 64,
		"there is no network \"resnet50\"; there are segresnet, meshnet, unet3d");
}

/* The description names every param with its default, and builds the network that no params
 * build. */
static void descriptions_build(void)
{
	for (int i = 0; vt_model_name(i); i++) {
		struct vt_err err = VT_ERR_INIT;
		struct vt_json *j = vt_model_describe(vt_model_name(i));
		struct vt_model_request r = { vt_model_name(i), vt_json_get(j, "params"), 1, 4, 3,
			{ 32, 32, 32 } },
					plain = r;
		struct vt_graph *a = NULL, *b = NULL;

		plain.params = NULL;
		CHECK_STR(vt_json_text(vt_json_get(j, "name"), ""), vt_model_name(i));
		if (vt_model_build(&a, &r, &err) || vt_model_build(&b, &plain, &err))
			CHECK_FAIL("%s", err.text);
		else
			CHECK_EQ(vt_graph_parameters(a), vt_graph_parameters(b));
		vt_graph_free(a);
		vt_graph_free(b);
		vt_json_free(j);
	}
	CHECK(!vt_model_describe("none"));
}

/* docs/networks.md holds each description as it is. */
static void the_page_is_true(void)
{
	struct vt_err err = VT_ERR_INIT;
	struct vt_buf page = VT_BUF_INIT;
	char *path = vt_asprintf("%s/docs/networks.md", getenv("ROOT") ? getenv("ROOT") : ".");

	CHECK_EQ(vt_fs_read(&page, path, 1 << 20, &err), 0);
	for (int i = 0; vt_model_name(i); i++) {
		struct vt_buf text = VT_BUF_INIT;
		struct vt_json *j = vt_model_describe(vt_model_name(i));

		vt_json_compact(&text, j);
		if (!page.len || !strstr(page.data, text.data))
			CHECK_FAIL("docs/networks.md lacks %s", text.data);
		vt_buf_release(&text);
		vt_json_free(j);
	}
	vt_buf_release(&page);
	free(path);
}

static void deep_supervision_weights(void)
{
	struct vt_err err = VT_ERR_INIT;
	struct vt_graph *g = built("nnunet-plain", "{\"deep_supervision\": true}", 1, 2, 32, &err);
	double want[] = { 8 / 15.0, 4 / 15.0, 2 / 15.0, 1 / 15.0, 0 };

	CHECK_EQ(vt_graph_n_outputs(g), 5);
	for (int i = 0; i < 5; i++) {
		CHECK_NEAR(vt_graph_output_at(g, i).weight, want[i], 1e-12);
		CHECK_EQ(vt_graph_shape(g, vt_graph_output_at(g, i).tensor).d, 32 >> i);
	}
	vt_graph_free(g);
	g = built("unet3d", "{\"deep_supervision\": true}", 4, 3, 16, &err);
	CHECK_EQ(vt_graph_n_outputs(g), 5);
	for (int i = 0; i < 5; i++) {
		CHECK_NEAR(vt_graph_output_at(g, i).weight, 0.2, 1e-12);
		CHECK_EQ(vt_graph_shape(g, vt_graph_output_at(g, i).tensor).d, 16);
	}
	vt_graph_free(g);
}

int main(void)
{
	RUN(u_nets);
	RUN(v_nets);
	RUN(segresnets);
	RUN(the_vae_depends_on_the_patch);
	RUN(meshnets);
	RUN(med3d);
	RUN(refuses);
	RUN(descriptions_build);
	RUN(the_page_is_true);
	RUN(deep_supervision_weights);
	return check_done();
}
