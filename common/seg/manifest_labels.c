/* manifest_labels.c - from label values to regions, and back by the label map rule. */
#include <string.h>

#include "common/seg/manifest.h"

static unsigned bits_of(const struct vt_manifest *manifest, int value)
{
	unsigned bits = 0;

	for (int r = 0; manifest->exclusive && r < manifest->n_regions; r++)
		if (manifest->region[r].has[value])
			return (unsigned)r + 1;
	if (manifest->exclusive)
		return 0;

	for (int r = 0; r < manifest->n_regions; r++)
		bits |= (unsigned)manifest->region[r].has[value] << r;
	return bits;
}

int vt_manifest_regions(uint8_t *out, const struct vt_manifest *manifest,
	const unsigned char *labels, size_t n, struct vt_err *err)
{
	uint8_t bits[VT_MAX_LABELS];

	for (int v = 0; v < VT_MAX_LABELS; v++)
		bits[v] = (uint8_t)bits_of(manifest, v);
	for (size_t i = 0; i < n; i++) {
		if (!manifest->label[labels[i]])
			return vt_err_set(err, VT_EDATA,
				"label value %u at voxel %zu is not in /label/values of "
				"manifest %s; add it there with its meaning",
				labels[i], i, manifest->name);
		out[i] = bits[labels[i]];
	}
	return 0;
}

int vt_manifest_own_value(const struct vt_manifest *manifest, int region)
{
	int best = 0, least = VT_MAX_REGIONS + 1;

	if (manifest->region[region].value)
		return manifest->region[region].value;
	for (int v = 1; manifest->exclusive && v < VT_MAX_LABELS; v++)
		if (manifest->region[region].has[v])
			return v;
	for (int v = 1; v < VT_MAX_LABELS; v++) {
		int n = __builtin_popcount(bits_of(manifest, v));

		if (manifest->region[region].has[v] && n < least) {
			least = n;
			best = v;
		}
	}
	return best;
}

static int value_of(const struct vt_manifest *manifest, unsigned bits)
{
	int value = 0;

	for (int v = 1; v < VT_MAX_LABELS; v++)
		if (manifest->label[v] && bits_of(manifest, v) == bits)
			return v;
	for (int r = 0; r < manifest->n_regions; r++)
		if (bits >> r & 1)
			value = vt_manifest_own_value(manifest, r);
	return value;
}

void vt_manifest_values(unsigned char value[256], const struct vt_manifest *manifest)
{
	memset(value, 0, 256);
	for (int r = 0; manifest->exclusive && r < manifest->n_regions; r++)
		value[r + 1] = (unsigned char)vt_manifest_own_value(manifest, r);
	if (manifest->exclusive)
		return;
	for (unsigned b = 1; b < 1u << manifest->n_regions; b++)
		value[b] = (unsigned char)value_of(manifest, b);
}

bool vt_manifest_overlap(const struct vt_manifest *manifest, int pair[2])
{
	for (int a = 0; a < manifest->n_regions; a++)
		for (int b = a + 1; b < manifest->n_regions; b++)
			for (int v = 1; v < VT_MAX_LABELS; v++)
				if (manifest->region[a].has[v] && manifest->region[b].has[v]) {
					pair[0] = a;
					pair[1] = b;
					return true;
				}
	return false;
}
