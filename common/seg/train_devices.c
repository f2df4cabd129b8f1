#include "common/seg/train_devices.h"

#include <stdlib.h>
#include <string.h>

enum { DEFAULT, F32, TF32, BF16, FP16, AUTO };
const char *const vt_train_precisions[] = { "default", "f32", "tf32", "bf16", "fp16", "auto",
	NULL };

static int check_wishes(const struct vt_train_wishes *wishes, struct vt_err *err)
{
	const char *precision = vt_train_precisions[wishes->precision];
	bool cpu = wishes->device == VT_DEVICE_CPU;

	if (cpu && (wishes->precision == TF32 || wishes->precision == FP16))
		return vt_err_set(err, VT_EUSAGE,
			"--precision=%s: the CPU computes in f32 or bf16; this one needs --device "
			"cuda",
			precision);
	if (wishes->replay && wishes->precision != AUTO)
		return vt_err_set(err, VT_EUSAGE,
			"--replay: repeats the changes of --precision auto, not of %s", precision);
	if (wishes->cards > 1 && cpu)
		return vt_err_set(err, VT_EUSAGE,
			"--devices=%d: GPUs share a batch, the CPU does not; give --device cuda, "
			"or --devices 1",
			wishes->cards);
	if (wishes->batch % wishes->cards)
		return vt_err_set(err, VT_EUSAGE,
			"--devices=%d: --batch=%d does not divide over them; give a batch of %d or "
			"a multiple",
			wishes->cards, wishes->batch, wishes->cards);
	return 0;
}

int vt_train_devices_choose(struct vt_train_devices *devices, const struct vt_train_wishes *wishes,
	struct vt_err *err)
{
	bool cpu = wishes->device == VT_DEVICE_CPU;
	struct vt_precision_opts *o = &devices->precision;

	if (check_wishes(wishes, err))
		return err->code;
	*o = (struct vt_precision_opts){ .replaying = wishes->precision != AUTO || wishes->replay,
		.top = cpu ? VT_LEVEL_BF16 : VT_LEVEL_FP16 };
	if (wishes->precision == FP16)
		o->first = VT_LEVEL_FP16;
	else if (wishes->precision == BF16 || (wishes->precision == DEFAULT && !cpu))
		o->first = VT_LEVEL_BF16;
	return wishes->replay ? vt_train_read_changes(&devices->changes, o, wishes->replay, err)
			      : 0;
}

int vt_train_devices_open(struct vt_train_devices *devices, const struct vt_train_wishes *wishes,
	struct vt_err *err)
{
	bool many = wishes->precision == AUTO;
	int rc = 0;

	for (int level = 0; !rc && level < VT_LEVELS && wishes->device != VT_DEVICE_CPU; level++) {
		if (!many && level != (int)devices->precision.first)
			continue;
		rc = vt_device_open(&devices->device[level],
			&(struct vt_device_opts){ .wish = wishes->device,
				.precision = many ? vt_level_names[level]
						  : vt_train_precisions[wishes->precision],
				.engines = wishes->engines,
				.cards = wishes->cards },
			err);
		devices->n_open++;
	}
	return rc;
}

void vt_train_devices_use(struct vt_train_opts *opts, const struct vt_train_devices *devices)
{
	memcpy(opts->device, devices->device, sizeof(opts->device));
	if (devices->n_open == 1)
		opts->device[VT_LEVEL_F32] = devices->device[devices->precision.first];
}

void vt_train_devices_close(struct vt_train_devices *devices)
{
	free(devices->changes);
	for (int level = 0; level < VT_LEVELS; level++)
		vt_device_close(devices->device[level]);
}
