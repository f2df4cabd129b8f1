/* nn_probe REQUEST.json IN OUT: one training pass of a network on given weights, for tests/oracle/networks.py.
 * REQUEST: {"name", "params", "in", "out", "n", "patch":[z,y,x], "training"}.  IN: f32 input, d_logits, then every trainable
 * weight in the order printed.  OUT: f32 logits, then every trainable weight's gradient.  With IN = "-": prints the weights. */
#include <stdio.h>
#include <stdlib.h>

#include "common/nn/model.h"
#include "common/nn/session.h"

static size_t count(struct vt_shape s)
{
	return (size_t)s.n * (size_t)s.c * (size_t)s.d * (size_t)s.h * (size_t)s.w;
}

static void take(FILE *f, float *to, size_t n)
{
	if (fread(to, sizeof(float), n, f) != n)
		exit(3);
}

static int pass(struct vt_session *s, const char *in, const char *out)
{
	size_t n_x = count(vt_session_input_shape(s)), n_y = count(vt_session_output_shape(s));
	float *x = malloc(n_x * sizeof(float)), *dy = malloc(n_y * sizeof(float)), *y = malloc(n_y * sizeof(float));
	FILE *f = fopen(in, "rb"), *o = fopen(out, "wb");

	if (!f || !o || !x || !dy || !y)
		return 2;
	take(f, x, n_x);
	take(f, dy, n_y);
	for (int i = 0; i < vt_session_n_weights(s); i++)
		if (vt_session_weight(s, i)->trainable)
			take(f, vt_session_weight(s, i)->value, vt_session_weight(s, i)->n);
	vt_session_set_input(s, x);
	vt_session_forward(s, 0);
	vt_session_get_output(s, y);
	vt_session_backward(s, dy);
	fwrite(y, sizeof(float), n_y, o);
	for (int i = 0; i < vt_session_n_weights(s); i++)
		if (vt_session_weight(s, i)->trainable)
			fwrite(vt_session_weight(s, i)->grad, sizeof(float), vt_session_weight(s, i)->n, o);
	fclose(f);
	free(x);
	free(y);
	free(dy);
	return fclose(o);
}

int main(int argc, char **argv)
{
	struct vt_err err = VT_ERR_INIT;
	struct vt_json *j = NULL;
	struct vt_graph *g = NULL;
	struct vt_session *s = NULL;
	struct vt_model_request r;
	int rc = argc < 3 || vt_json_read(&j, argv[1], &err);

	if (rc)
		return 64;
	r = (struct vt_model_request){ vt_json_text(vt_json_get(j, "name"), ""), vt_json_get(j, "params"), (int)vt_json_integer(vt_json_get(j, "n"), 1),
		(int)vt_json_integer(vt_json_get(j, "in"), 1), (int)vt_json_integer(vt_json_get(j, "out"), 1), { 0 } };
	for (size_t i = 0; i < 3; i++)
		r.patch[i] = (int)vt_json_integer(vt_json_at(vt_json_get(j, "patch"), i), 16);
	rc = vt_model_build(&g, &r, &err) || vt_session_new(&s, g, &(struct vt_session_opts){ .training = true, .seed = 1 }, &err);
	if (rc)
		fprintf(stderr, "%s\n", err.text);
	else if (argv[2][0] == '-')
		for (int i = 0; i < vt_session_n_weights(s); i++) {
			if (vt_session_weight(s, i)->trainable)
				printf("%s %zu\n", vt_session_weight(s, i)->name, vt_session_weight(s, i)->n);
		}
	else
		rc = pass(s, argv[2], argv[3]);
	vt_session_free(s);
	vt_graph_free(g);
	vt_json_free(j);
	return rc;
}
