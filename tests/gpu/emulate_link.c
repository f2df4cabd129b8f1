/* The link between emulated GPUs: copies by the host.  With $VOXTRAIL_EMULATED_FAULT = N the
 * N-th exchange brings one wrong float, with -N it fails. */
#include <stdlib.h>
#include <string.h>

#include "gpu/engine/link.h"

struct copies {
	struct vg_link base;
	int exchanges, fault;
};

static void close_link(struct vg_link *l)
{
	free(l);
}

static void describe(struct vg_link *l, struct vt_json *j)
{
	(void)l;
	vt_json_put_text(j, "name", "memcpy");
}

static int exchange(struct vg_link *l, const struct vg_move *m, int n, struct vt_err *err)
{
	struct copies *c = (struct copies *)l;

	c->exchanges++;
	if (c->fault == -c->exchanges)
		return vt_err_set(err, VT_EDEVICE, "the link failed, as it was told to");
	for (int i = 0; i < n; i++)
		memcpy(m[i].target, m[i].source, m[i].nbytes);
	if (c->fault == c->exchanges)
		((unsigned char *)m[0].target)[3] ^= 0x40;
	return 0;
}

static int finish(struct vg_link *l, struct vt_err *err)
{
	(void)l;
	(void)err;
	return 0;
}

int vg_link_open(struct vg_link **out, struct vg_device *const *rank, int n, struct vt_err *err)
{
	static const struct vg_link_ops ops = { .close = close_link,
		.describe = describe,
		.exchange = exchange,
		.finish = finish };
	struct copies *c = vt_xcalloc(1, sizeof(*c));
	const char *fault = getenv("VOXTRAIL_EMULATED_FAULT");

	(void)rank;
	(void)n;
	(void)err;
	c->base.ops = &ops;
	c->fault = fault ? (int)strtol(fault, NULL, 10) : 0;
	*out = &c->base;
	return 0;
}
