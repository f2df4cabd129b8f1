/* What a plan is refused for, and what would fit instead. */
#include "common/nn/plan.h"

/* The patch, edges in steps of 16, or the batch, whose activations take no more than `share` of
 * those of shape. */
static void name_what_fits(struct vt_buf *out, struct vt_shape shape, double share)
{
	int d = shape.d, h = shape.h, w = shape.w;

	if (shape.n > 1 && shape.n * share >= 1) {
		vt_buf_printf(out, "; a batch of %d fits", (int)(shape.n * share));
		return;
	}
	while ((d > 16 || h > 16 || w > 16) &&
		(double)d * h * w > share * shape.n * shape.d * shape.h * shape.w) {
		d = d > 16 ? (d - 1) / 16 * 16 : d;
		h = h > 16 ? (h - 1) / 16 * 16 : h;
		w = w > 16 ? (w - 1) / 16 * 16 : w;
	}
	vt_buf_printf(out, "; a patch of about %dx%dx%d%s fits", d, h, w,
		shape.n > 1 ? " in a batch of 1" : "");
}

int vt_plan_check_limit(const struct vt_plan *plan, const struct vt_graph *graph,
	const struct vt_session_opts *opts, struct vt_err *err)
{
	static const double mib = 1048576;
	/* Only a hint: its own failure says nothing. */
	struct vt_session_opts less = *opts;
	struct vt_err unused = VT_ERR_INIT;
	struct vt_plan q;
	struct vt_buf text = VT_BUF_INIT;
	double need = (double)vt_plan_bytes(plan, opts->training),
	       limit = (double)opts->memory_limit;
	double weights = (double)((opts->training ? 2 : 1) * plan->weights * sizeof(float));

	if (!opts->memory_limit || need <= limit)
		return 0;
	vt_buf_printf(&text, "the network needs %.1f MiB at this patch and %.1f MiB are allowed",
		need / mib, limit / mib);
	less.recompute = true;
	if (opts->training && !opts->recompute && !vt_plan_make(&q, graph, &less, &unused)) {
		vt_buf_printf(&text, "; recomputing activations it needs %.1f MiB",
			(double)vt_plan_bytes(&q, true) / mib);
		vt_plan_release(&q);
	}
	/* Weights stay; activations grow with the patch's voxels. */
	if (limit > weights)
		name_what_fits(&text, graph->node[graph->input].shape,
			(limit - weights) / (need - weights));
	else
		vt_buf_printf(&text, "; its weights alone take %.1f MiB: use fewer filters",
			weights / mib);
	vt_err_set(err, VT_ENOMEM, "%s", text.data);
	vt_buf_release(&text);
	return err->code;
}
