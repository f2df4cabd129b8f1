/* tta.c - a turn is three bits and a count: bit 0 mirrors z, bits 1 and 2 count quarter turns of
 * the plane as numpy.rot90 makes them (axes y, x), bit 3 mirrors x of the result. */
#include "common/seg/tta.h"

#include <stddef.h>

const char *const vt_tta_names[] = { "none", "flips", "axial16", NULL };

int vt_tta_count(enum vt_tta how)
{
	static const int count[] = { 1, 8, 16 };

	return count[how];
}

/* Half a turn with x mirrored is y mirrored: the mirrorings are the turns with an even count. */
int vt_tta_turn(enum vt_tta how, int i)
{
	return how == VT_TTA_FLIPS ? (i & 1) | (i & 2) << 1 | (i & 4) << 1 : i;
}

static int quarters(int turn)
{
	return turn >> 1 & 3;
}

void vt_tta_dims(int out[3], const int dims[3], int turn)
{
	int odd = quarters(turn) & 1;

	out[0] = dims[0];
	out[1] = dims[1 + odd];
	out[2] = dims[2 - odd];
}

/* Where voxel (y, x) of the turned plane lies in the plain one. */
static size_t place(const int dims[3], const int turned[3], int turn, int y, int x)
{
	int h = dims[1], w = dims[2], sy, sx;

	if (turn & 8)
		x = turned[2] - 1 - x;
	switch (quarters(turn)) {
	case 1:
		sy = x;
		sx = w - 1 - y;
		break;
	case 2:
		sy = h - 1 - y;
		sx = w - 1 - x;
		break;
	case 3:
		sy = h - 1 - x;
		sx = y;
		break;
	default: sy = y; sx = x;
	}
	return (size_t)sy * (size_t)w + (size_t)sx;
}

static size_t plane_of(const int dims[3], int turn, int z)
{
	return (size_t)(turn & 1 ? dims[0] - 1 - z : z) * (size_t)dims[1] * (size_t)dims[2];
}

void vt_tta_forth(float *turned, const float *plain, const int dims[3], int turn)
{
	int to[3];

	vt_tta_dims(to, dims, turn);
	for (int z = 0; z < to[0]; z++) {
		const float *from = plain + plane_of(dims, turn, z);

		for (int y = 0; y < to[1]; y++)
			for (int x = 0; x < to[2]; x++)
				*turned++ = from[place(dims, to, turn, y, x)];
	}
}

void vt_tta_back(float *plain, const float *turned, const int dims[3], int turn)
{
	int from[3];

	vt_tta_dims(from, dims, turn);
	for (int z = 0; z < from[0]; z++) {
		float *to = plain + plane_of(dims, turn, z);

		for (int y = 0; y < from[1]; y++)
			for (int x = 0; x < from[2]; x++)
				to[place(dims, from, turn, y, x)] = *turned++;
	}
}
