#include "common/seg/train_devices.h"

#include <stdlib.h>
#include <string.h>

enum { DEFAULT, F32, TF32, BF16, FP16, AUTO };
const char *const vt_train_precisions[] = { "default", "f32", "tf32", "bf16", "fp16", "auto",
	NULL };

static int check_wishes(const struct vt_train_wishes *w, struct vt_err *err)
{
	const char *precision = vt_train_precisions[w->precision];
	bool cpu = w->device == VT_DEVICE_CPU;

	if (cpu && (w->precision == TF32 || w->precision == FP16))
		return vt_err_set(err, VT_EUSAGE,
			"--precision=%s: the CPU computes in f32 or bf16; this one needs --device "
			"cuda",
			precision);
	if (w->replay && w->precision != AUTO)
		return vt_err_set(err, VT_EUSAGE,
			"--replay: repeats the changes of --precision auto, not of %s", precision);
	if (w->cards > 1 && cpu)
		return vt_err_set(err, VT_EUSAGE,
			"--devices=%d: GPUs share a batch, the CPU does not; give --device cuda, "
			"or --devices 1",
			w->cards);
	if (w->batch % w->cards)
		return vt_err_set(err, VT_EUSAGE,
			"--devices=%d: --batch=%d does not divide over them; give a batch of %d or "
			"a multiple",
			w->cards, w->batch, w->cards);
	return 0;
}

int vt_train_devices_choose(struct vt_train_devices *d, const struct vt_train_wishes *w,
	struct vt_err *err)
{
	bool cpu = w->device == VT_DEVICE_CPU;
	struct vt_precision_opts *o = &d->precision;

	if (check_wishes(w, err))
		return err->code;
	*o = (struct vt_precision_opts){ .replaying = w->precision != AUTO || w->replay,
		.top = cpu ? VT_LEVEL_BF16 : VT_LEVEL_FP16 };
	if (w->precision == FP16)
		o->first = VT_LEVEL_FP16;
	else if (w->precision == BF16 || (w->precision == DEFAULT && !cpu))
		o->first = VT_LEVEL_BF16;
	return w->replay ? vt_train_read_changes(&d->changes, o, w->replay, err) : 0;
}

int vt_train_devices_open(struct vt_train_devices *d, const struct vt_train_wishes *w,
	struct vt_err *err)
{
	bool many = w->precision == AUTO;
	int rc = 0;

	for (int level = 0; !rc && level < VT_LEVELS && w->device != VT_DEVICE_CPU; level++) {
		if (!many && level != (int)d->precision.first)
			continue;
		rc = vt_device_open(&d->device[level],
			&(struct vt_device_opts){ .wish = w->device,
				.precision = many ? vt_level_names[level]
						  : vt_train_precisions[w->precision],
				.engines = w->engines,
				.cards = w->cards },
			err);
		d->n_open++;
	}
	return rc;
}

void vt_train_devices_use(struct vt_train_opts *o, const struct vt_train_devices *d)
{
	memcpy(o->device, d->device, sizeof(o->device));
	if (d->n_open == 1)
		o->device[VT_LEVEL_F32] = d->device[d->precision.first];
}

void vt_train_devices_close(struct vt_train_devices *d)
{
	free(d->changes);
	for (int level = 0; level < VT_LEVELS; level++)
		vt_device_close(d->device[level]);
}
