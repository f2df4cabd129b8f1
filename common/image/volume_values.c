/* volume_values.c - is it a scan, or a map of a few labels? */
#include <stdbool.h>

#include "common/image/volume.h"

int vt_volume_few_values(unsigned char value[VT_FEW_VALUES], const struct vt_volume *volume)
{
	bool seen[256] = { false };
	double last = -1;
	int n = 0;

	for (size_t i = 0; i < volume->n; i++) {
		double x = vt_volume_value(volume, i);

		if (x == last)
			continue;
		if (!(x >= 0 && x <= 255) || x != (int)x)
			return 0;
		last = x;
		n += !seen[(int)x];
		seen[(int)x] = true;
		if (n > VT_FEW_VALUES)
			return 0;
	}
	n = 0;
	for (int v = 0; v < 256; v++)
		if (seen[v])
			value[n++] = (unsigned char)v;
	return n > 1 ? n : 0;
}
