/* learned_mask WEIGHTS labels|mask IN OUT [PRECISION]: what a learned mask says of a NIfTI volume.
 * labels: classes of a volume that already lies on the network's grid; mask: of any head scan,
 * on its own voxels; PRECISION: on a device.  For tests/oracle/image/learned_mask.py. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/image/volume.h"
#include "common/nn/backend.h"
#include "common/seg/learned_mask.h"

static int work(struct vt_volume *v, char **argv, struct vt_device *device, struct vt_err *err)
{
	struct vt_learned_mask *m = NULL;
	struct vt_brain_report report;
	unsigned char *out = malloc(v->n);
	int rc = vt_learned_mask_open(&m, argv[1], device, err);

	memset(&report, 0, sizeof(report));
	if (!rc && !strcmp(argv[2], "labels")) {
		rc = vt_learned_mask_labels(m, out, v->voxels, err);
	} else if (!rc) {
		const struct vt_mask_provider *p = vt_learned_mask_provider(m);

		rc = p->mask(p->ctx, out, v->voxels, &v->geometry, err);
		if (!rc)
			rc = vt_brain_mask_finish(out, &report, &v->geometry, 0, err);
	}
	if (!rc)
		rc = vt_volume_write(argv[4], &v->geometry, VT_U8, out, err);
	vt_learned_mask_close(m);
	free(out);
	return rc;
}

int main(int argc, char **argv)
{
	struct vt_err err = VT_ERR_INIT;
	struct vt_volume v = VT_VOLUME_INIT;

	struct vt_device *device = NULL;

	if (argc != 5 && argc != 6)
		return 64;
	vt_log_open("learned_mask", VT_LOG_TEXT, VT_LOG_ERROR);
	if (argc == 6)
		vt_device_open(&device,
			&(struct vt_device_opts){ .wish = VT_DEVICE_CUDA, .precision = argv[5] },
			&err);
	if (!err.code && !vt_volume_read(&v, argv[3], VT_VOLUME_3D, &err))
		work(&v, argv, device, &err);
	vt_device_close(device);
	vt_volume_release(&v);
	if (err.code)
		fprintf(stderr, "%s\n", err.text);
	return err.code;
}
