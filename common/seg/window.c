#include "common/seg/window.h"

#include <string.h>

void vt_window_read(float *x, const struct vt_patch_file *file, const int at[3], const int patch[3],
	int flips)
{
	for (int c = 0; c < file->c; c++)
		for (int z = 0; z < patch[0]; z++)
			for (int y = 0; y < patch[1]; y++) {
				int sz = at[0] + (flips & 4 ? patch[0] - 1 - z : z),
				    sy = at[1] + (flips & 2 ? patch[1] - 1 - y : y);
				float *row = x +
					(((size_t)c * (size_t)patch[0] + (size_t)z) *
							(size_t)patch[1] +
						(size_t)y) *
						(size_t)patch[2];
				int from = at[2] < 0 ? -at[2] : 0,
				    to = at[2] + patch[2] > file->w ? file->w - at[2] : patch[2];

				memset(row, 0, (size_t)patch[2] * sizeof(float));
				if (sz < 0 || sz >= file->d || sy < 0 || sy >= file->h)
					continue;
				vt_patch_row(row + from, file, c, sz, sy, at[2] + from, to - from);
				for (int i = 0; flips & 1 && i < patch[2] / 2; i++) {
					float t = row[i];

					row[i] = row[patch[2] - 1 - i];
					row[patch[2] - 1 - i] = t;
				}
			}
}

static int largest(const float *values, int c, size_t voxels, size_t v)
{
	int best = 0;

	for (int k = 1; k < c; k++)
		if (values[(size_t)k * voxels + v] > values[(size_t)best * voxels + v])
			best = k;
	return best;
}

void vt_window_classes(uint8_t *classes, const float *values, int c, size_t voxels)
{
	for (size_t v = 0; v < voxels; v++)
		classes[v] = (uint8_t)largest(values, c, voxels, v);
}

void vt_window_regions(uint8_t *bits, const float *values, int c, size_t voxels, bool softmax)
{
	memset(bits, 0, voxels);
	for (size_t v = 0; softmax && v < voxels; v++) {
		int best = largest(values, c, voxels, v);

		bits[v] = best ? (uint8_t)(1 << (best - 1)) : 0;
	}
	for (int k = 0; !softmax && k < c; k++)
		for (size_t v = 0; v < voxels; v++)
			bits[v] |= (uint8_t)((values[(size_t)k * voxels + v] > 0.0f) << k);
}
