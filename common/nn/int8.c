#include "common/nn/int8.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/nn/cpu/int8.h"
#include "common/nn/graph_internal.h"

enum { LEAST_CHANNELS = 8 }; /* f32 is the faster with fewer */

static const double most_scale = 1e18;

/* --- which convolutions -------------------------------------------------- */

/* Whether another convolution depends on node i, and the prediction on that. */
static bool feeds_convolution(const struct vt_graph *graph, int i)
{
	bool *after = vt_xcalloc((size_t)graph->n_nodes, sizeof(*after)),
	     *needed = vt_xcalloc((size_t)graph->n_nodes, sizeof(*needed)), found = false;

	needed[graph->output] = true;
	for (int j = graph->output; j >= 0; j--)
		for (int k = 0; needed[j] && k < 2; k++)
			if (graph->node[j].in[k] >= 0)
				needed[graph->node[j].in[k]] = true;
	after[i] = true;
	for (int j = i + 1; j <= graph->output && !found; j++) {
		const struct vt_node *n = &graph->node[j];

		for (int k = 0; k < 2; k++)
			after[j] |= n->in[k] >= 0 && after[n->in[k]];
		found = after[j] && needed[j] && n->op == VT_OP_CONV;
	}
	free(needed);
	free(after);
	return found;
}

bool vt_int8_takes(const struct vt_graph *graph, int i)
{
	const struct vt_node *n = &graph->node[i];
	const struct vt_conv *c = &n->conv;
	int in;

	if (n->op != VT_OP_CONV || c->transposed || n->in[0] == graph->input)
		return false;
	in = graph->node[n->in[0]].shape.c;
	return in >= LEAST_CHANNELS && c->out_c >= LEAST_CHANNELS &&
		vt_int8_fits(in, c->k * c->k * c->k) && feeds_convolution(graph, i);
}

bool vt_int8_takes_any(const struct vt_graph *graph)
{
	for (int i = 0; i < graph->n_nodes; i++)
		if (vt_int8_takes(graph, i))
			return true;
	return false;
}

/* The first taken convolution with that kernel; -1: none. */
static int node_of(const struct vt_graph *graph, int weight)
{
	for (int i = 0; i < graph->n_nodes; i++)
		if (graph->node[i].op == VT_OP_CONV && graph->node[i].weight[0] == weight &&
			vt_int8_takes(graph, i))
			return i;
	return -1;
}

/* --- reading ------------------------------------------------------------- */

static int read_scale(float *out, const struct vt_json *j, const char *name, const char *what,
	struct vt_err *err)
{
	double v = vt_json_number(j, -1);

	if (!(v >= VT_INT8_LEAST_SCALE && v <= most_scale))
		return vt_err_set(err, VT_EDATA,
			"int8 scales of %s: %s must be a number from %g to %g", name, what,
			VT_INT8_LEAST_SCALE, most_scale);
	*out = (float)v;
	return 0;
}

static int read_layer(struct vt_int8_scales *scales, const struct vt_json *j, const char *name,
	int outputs, struct vt_err *err)
{
	const struct vt_json *weights = vt_json_get(j, "weights");
	int64_t zero = vt_json_integer(vt_json_get(j, "zero"), -1);
	int rc = read_scale(&scales->scale, vt_json_get(j, "scale"), name, "scale", err);

	if (!rc && (zero < 0 || zero > 255))
		rc = vt_err_set(err, VT_EDATA,
			"int8 scales of %s: zero must be a whole number from 0 to 255", name);
	if (!rc && vt_json_length(weights) != (size_t)outputs)
		rc = vt_err_set(err, VT_EDATA,
			"int8 scales of %s: %zu weights, the convolution has %d outputs", name,
			vt_json_length(weights), outputs);
	if (rc)
		return rc;
	scales->zero = (int)zero;
	scales->n = outputs;
	scales->weights = vt_xcalloc((size_t)outputs, sizeof(float));
	for (int o = 0; !rc && o < outputs; o++)
		rc = read_scale(&scales->weights[o], weights->item[o], name, "each of weights",
			err);
	return rc;
}

int vt_int8_read(struct vt_int8_scales **out, const struct vt_graph *graph, const struct vt_json *j,
	struct vt_err *err)
{
	struct vt_int8_scales *s = vt_xcalloc((size_t)graph->n_weights + 1, sizeof(*s));
	size_t taken = 0;
	int rc = 0;

	for (int w = 0; !rc && w < graph->n_weights; w++) {
		int node = node_of(graph, w);
		const char *name = graph->weight[w].name;
		const struct vt_json *layer = node < 0 ? NULL : vt_json_get(j, name);

		if (node < 0)
			continue;
		taken++;
		rc = layer ? read_layer(&s[w], layer, name, graph->node[node].conv.out_c, err)
			   : vt_err_set(err, VT_EDATA, "int8 scales: none of %s", name);
	}
	if (!rc && vt_json_members(j) != taken)
		rc = vt_err_set(err, VT_EDATA,
			"int8 scales: of %zu convolutions, the network computes %zu in int8",
			vt_json_members(j), taken);
	if (rc)
		vt_int8_free(s, graph);
	else
		*out = s;
	return rc;
}

void vt_int8_free(struct vt_int8_scales *scales, const struct vt_graph *graph)
{
	for (int w = 0; scales && w < graph->n_weights; w++)
		free(scales[w].weights);
	free(scales);
}

float vt_int8_weight_scale(const float *w, size_t n)
{
	float most = 0;

	for (size_t i = 0; i < n; i++)
		most = fabsf(w[i]) > most ? fabsf(w[i]) : most;
	most /= 127.0f;
	return most > (float)VT_INT8_LEAST_SCALE * 2 ? most : (float)VT_INT8_LEAST_SCALE * 2;
}
