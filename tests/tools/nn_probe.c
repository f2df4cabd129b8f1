/* nn_probe REQUEST.json IN OUT: one training pass of a network on given weights, then inference
 * with them, for tests/oracle/nn/networks.py.  IN: f32 input, the gradient of every output, then
 * every trainable weight in the order printed.  OUT: f32 outputs, every trainable weight's
 * gradient, the running statistics after the pass, then the prediction without training.  With
 * IN = "-": prints a line a weight (name, elements, 1 if trainable, dimensions, length of the
 * first) and a line an output ("output", its shape). */
#include <string.h>

#include "tests/tools/model_request.h"

static void take(FILE *f, float *to, size_t n)
{
	if (fread(to, sizeof(float), n, f) != n)
		exit(3);
}

static void infer(const struct vt_graph *g, struct vt_session *trained, const float *x, FILE *o)
{
	struct vt_err err = VT_ERR_INIT;
	struct vt_session *s = NULL;
	size_t n;
	float *y;

	if (vt_session_new(&s, g, &(struct vt_session_opts){ .blank = true }, &err))
		exit(4);
	for (int i = 0; i < vt_session_n_weights(s); i++)
		memcpy(vt_session_weight(s, i)->value, vt_session_weight(trained, i)->value,
			vt_session_weight(s, i)->n * sizeof(float));
	n = model_elements(vt_session_output_shape(s));
	y = malloc(n * sizeof(float));
	vt_session_set_input(s, x);
	vt_session_forward(s, 0);
	vt_session_get_output(s, y);
	fwrite(y, sizeof(float), n, o);
	free(y);
	vt_session_free(s);
}

static void weights(struct vt_session *s, FILE *in, FILE *out, bool trainable)
{
	for (int i = 0; i < vt_session_n_weights(s); i++) {
		struct vt_weight *w = vt_session_weight(s, i);

		if (w->trainable != trainable)
			continue;
		if (in)
			take(in, w->value, w->n);
		else
			fwrite(trainable ? w->grad : w->value, sizeof(float), w->n, out);
	}
}

static int pass(const struct vt_graph *g, struct vt_session *s, const char *in, const char *out)
{
	int n = vt_graph_n_outputs(g);
	size_t n_x = model_elements(vt_session_input_shape(s));
	float *x = malloc(n_x * sizeof(float)), *dy[64], *y;
	FILE *f = fopen(in, "rb"), *o = fopen(out, "wb");

	if (!f || !o || !x)
		return 2;
	take(f, x, n_x);
	for (int i = 0; i < n; i++) {
		dy[i] = malloc(model_elements(vt_session_shape_at(s, i)) * sizeof(float));
		take(f, dy[i], model_elements(vt_session_shape_at(s, i)));
	}
	weights(s, f, NULL, true);
	vt_session_set_input(s, x);
	vt_session_forward(s, 0);
	for (int i = 0; i < n; i++) {
		y = malloc(model_elements(vt_session_shape_at(s, i)) * sizeof(float));
		vt_session_get_output_at(s, i, y);
		fwrite(y, sizeof(float), model_elements(vt_session_shape_at(s, i)), o);
		free(y);
	}
	vt_session_backward_all(s, (const float *const *)dy);
	weights(s, NULL, o, true);
	weights(s, NULL, o, false);
	infer(g, s, x, o);
	for (int i = 0; i < n; i++)
		free(dy[i]);
	free(x);
	fclose(f);
	return fclose(o);
}

static void list(const struct vt_graph *g, struct vt_session *s)
{
	for (int i = 0; i < vt_session_n_weights(s); i++) {
		const struct vt_weight *w = vt_session_weight(s, i);

		printf("%s %zu %d %d %d\n", w->name, w->n, w->trainable, w->n_dims, w->dims[0]);
	}
	for (int i = 0; i < vt_graph_n_outputs(g); i++) {
		struct vt_shape y = vt_session_shape_at(s, i);

		printf("output %d %d %d %d %d\n", y.n, y.c, y.d, y.h, y.w);
	}
}

int main(int argc, char **argv)
{
	struct vt_err err = VT_ERR_INIT;
	struct vt_json *j = NULL;
	struct vt_graph *g = NULL;
	struct vt_session *s = NULL;
	int rc;

	if (argc < 3)
		return 64;
	rc = model_request(&g, &j, argv[1], &err) ||
		vt_session_new(&s, g, &(struct vt_session_opts){ .training = true, .blank = true },
			&err);
	if (rc)
		fprintf(stderr, "%s\n", err.text);
	else if (argv[2][0] == '-')
		list(g, s);
	else
		rc = pass(g, s, argv[2], argv[3]);
	vt_session_free(s);
	vt_graph_free(g);
	vt_json_free(j);
	return rc;
}
