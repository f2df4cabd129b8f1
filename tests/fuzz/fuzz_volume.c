/* fuzz_volume.c - any bytes given to the volume reader: values or a message, never a crash, a
 * leak or a huge allocation. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/image/volume.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct vt_volume v = VT_VOLUME_INIT;
	struct vt_err err = VT_ERR_INIT;
	char path[64];
	int fd = memfd_create("volume", MFD_CLOEXEC);
	if (fd < 0 || write(fd, bytes, n) != (ssize_t)n)
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (vt_volume_read(&v, path, VT_VOLUME_FRAMES, &err)) {
		if (err.text[0] == 0 || v.raw || v.voxels)
			abort();
	} else {
		volatile double sum = 0;
		if (vt_geometry_count(&v.geometry) * v.n_frames != v.n ||
			vt_geometry_check(&v.geometry, &err))
			abort();
		for (size_t i = 0; i < v.n; i++)
			sum = sum + vt_volume_value(&v, i) + (double)v.voxels[i];
	}
	vt_volume_release(&v);
	close(fd);
	return 0;
}
