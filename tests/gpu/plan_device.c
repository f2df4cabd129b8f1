#include "tests/gpu/plan_device.h"

static struct vg_plan_device *self(struct vg_device *d)
{
	return (struct vg_plan_device *)d;
}

static int alloc(struct vg_device *d, void **p, size_t nbytes, struct vt_err *err)
{
	(void)err;
	self(d)->nbytes += nbytes;
	*p = d; /* never followed */
	return 0;
}

static void release(struct vg_device *d, void *p)
{
	(void)d;
	(void)p;
}

static int upload(struct vg_device *d, void *to, const void *from, size_t nbytes,
	struct vt_err *err)
{
	(void)d;
	(void)to;
	(void)from;
	(void)nbytes;
	(void)err;
	return 0;
}

static int clear(struct vg_device *d, void *p, size_t nbytes, struct vt_err *err)
{
	return upload(d, p, NULL, nbytes, err);
}

static int conv_new(struct vg_device *d, struct vg_conv **out, const struct vg_conv_spec *s,
	struct vt_err *err)
{
	size_t need;

	if (vg_cudnn_plan(self(d)->cudnn, out, s, err))
		return err->code;
	need = vg_cudnn_workspace(*out);
	self(d)->workspace = need > self(d)->workspace ? need : self(d)->workspace;
	self(d)->convolutions++;
	return 0;
}

int vg_plan_device_open(struct vg_plan_device *out, const char *properties, const char *engines,
	struct vt_err *err)
{
	static const struct vg_device_ops ops = { .alloc = alloc,
		.release = release,
		.upload = upload,
		.clear = clear,
		.conv_new = conv_new,
		.conv_workspace = vg_cudnn_workspace,
		.conv_free = vg_cudnn_plan_free };

	*out = (struct vg_plan_device){ .base = { &ops } };
	return vg_cudnn_open(&out->cudnn, properties, engines, err);
}

void vg_plan_device_close(struct vg_plan_device *d)
{
	vg_cudnn_close(d->cudnn);
}
