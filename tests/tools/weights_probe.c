/* weights_probe REQUEST.json FILE OUT [leave=PREFIX]... [repeat] [xyz]: loads FILE into the
 * network and writes all its weights to OUT as f32, in the order of their names, which are
 * printed; then the report.  A refusal is printed and its code returned.  Weights that are not
 * loaded are 0. */
#include <string.h>

#include "common/nn/weights.h"
#include "tests/tools/model_request.h"

static void print(struct vt_session *s, const struct vt_weights_report *r, const char *out)
{
	FILE *f = fopen(out, "wb");

	if (!f)
		exit(2);
	for (int i = 0; i < vt_session_n_weights(s); i++) {
		const struct vt_weight *w = vt_session_weight(s, i);

		printf("%s %zu\n", w->name, w->n);
		fwrite(w->value, sizeof(float), w->n, f);
	}
	fclose(f);
	printf("report format=%s form=%s matched=%zu left=%zu ignored=%zu repeated=%zu\n",
		r->format, r->form, r->matched, r->left, r->ignored, r->repeated);
}

int main(int argc, char **argv)
{
	struct vt_err err = VT_ERR_INIT;
	struct vt_json *j = NULL;
	struct vt_graph *g = NULL;
	struct vt_session *s = NULL;
	const char *leave[16] = { NULL };
	struct vt_weights_opts o = { .leave = leave };
	struct vt_weights_report report = { 0 };
	int rc, n = 0;

	if (argc < 4)
		return 64;
	for (int i = 4; i < argc; i++) {
		if (!strncmp(argv[i], "leave=", 6) && n < 15)
			leave[n++] = argv[i] + 6;
		o.repeat_input |= !strcmp(argv[i], "repeat");
		if (!strcmp(argv[i], "xyz"))
			o.kernels = VT_KERNELS_XYZ;
	}
	rc = model_request(&g, &j, argv[1], &err);
	if (!rc)
		rc = vt_session_new(&s, g, &(struct vt_session_opts){ .blank = true }, &err);
	if (!rc)
		rc = vt_weights_load(s, argv[2], &o, &report, &err);
	if (rc)
		printf("refused %d %s\n", rc, err.text);
	else
		print(s, &report, argv[3]);
	vt_session_free(s);
	vt_graph_free(g);
	vt_json_free(j);
	return rc;
}
