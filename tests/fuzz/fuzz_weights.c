/* fuzz_weights.c - any bytes given to the readers of other programs' weights: finite values or a
 * message, never a crash, a leak, a huge allocation, or a byte read outside the file. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/nn/state_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void read_all(const struct vt_state_file *s)
{
	for (size_t i = 0; i < s->n; i++) {
		const struct vt_state_tensor *t = &s->tensor[i];
		struct vt_err err = VT_ERR_INIT;
		float *v;

		if (vt_state_find(s, t->name) != t)
			abort();
		/* a tensor of stride 0 may be larger than its file */
		if (t->n > 1 << 20)
			continue;
		v = malloc((t->n + 1) * sizeof(*v));
		if (!vt_state_copy(t, v, &err)) {
			for (size_t k = 0; k < t->n; k++)
				if (!isfinite(v[k]))
					abort();
		} else if (!err.text[0]) {
			abort();
		}
		free(v);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct vt_state_file s;
	struct vt_err err = VT_ERR_INIT;
	char path[64];
	int fd = memfd_create("weights", MFD_CLOEXEC);

	if (fd < 0 || write(fd, bytes, n) != (ssize_t)n)
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (!vt_state_open(&s, path, &err)) {
		read_all(&s);
		vt_state_close(&s);
	} else if (!err.text[0]) {
		abort();
	}
	close(fd);
	return 0;
}
