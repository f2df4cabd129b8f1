#include "common/image/volume_digest.h"

#include <stdlib.h>
#include <string.h>

static bool all_equal(const unsigned char *samples, size_t n, size_t size)
{
	return n < 2 || !memcmp(samples, samples + size, (n - 1) * size);
}

int vt_volume_digest(char hex[VT_HEX], const struct vt_volume *volume, size_t frame,
	struct vt_err *err)
{
	size_t n = vt_geometry_count(&volume->geometry), size = vt_dtype_size(volume->dtype), slice;
	const unsigned char *samples = (const unsigned char *)volume->raw + frame * n * size;
	struct vt_digest_stream *stream = NULL;
	struct vt_placement part;
	struct vt_digest d;
	unsigned char *own;
	float *values;

	hex[0] = '\0';
	if (all_equal(samples, n, size))
		return 0;
	vt_placement_canonical(&part, &volume->geometry);
	slice = part.full.dim[0] * part.full.dim[1];
	own = malloc(slice * size + 8);
	values = malloc(slice * sizeof(*values) + 8);
	if (!own || !values)
		vt_err_nomem(err, slice * (size + sizeof(*values)));
	if (!err->code)
		vt_digest_stream_new(&stream, err);
	for (int a = 0; stream && a < 3; a++) {
		uint64_t dim = part.full.dim[a];

		vt_digest_stream_add(stream, &dim, sizeof(dim));
	}
	part.work.dim[2] = 1;
	for (size_t k = 0; k < part.full.dim[2] && !err->code; k++, part.lo[2]++) {
		if (vt_placement_gather(&part, own, samples, size, err))
			break;
		vt_volume_samples(values, volume, own, slice);
		/* -0 is 0. */
		for (size_t i = 0; i < slice; i++)
			values[i] += 0.0f;
		vt_digest_stream_add(stream, values, slice * sizeof(*values));
	}
	if (!err->code) {
		vt_digest_stream_end(&d, stream);
		vt_digest_hex(hex, &d);
	}
	if (stream)
		vt_digest_stream_free(stream);
	free(own);
	free(values);
	return err->code;
}
