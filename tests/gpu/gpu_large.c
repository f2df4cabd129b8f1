/* gpu_large [EDGE [SIDE]]: a tensor of more than 2^31 bytes (8 channels, EDGE x SIDE x SIDE
 * voxels, 520 and 512 unless told; both at least 48) through convolutions and an activation on
 * the device in bf16, compared with the CPU on tiles at its start, middle and end.  Exit status
 * 1 if one differs. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/nn/backend.h"

enum { C = 8, TILE = 24, HALO = 2 };

static struct vt_graph *network(int d, int h, int w)
{
	struct vt_graph *g = vt_graph_new();
	int x = vt_graph_input(g, (struct vt_shape){ 1, C, d, h, w });

	x = vt_graph_act(g,
		vt_graph_conv(g, x, "a", (struct vt_conv){ .out_c = C, .k = 3, .bias = true }), "r",
		VT_ACT_LEAKY, 0.1);
	vt_graph_output(g, vt_graph_conv(g, x, "b", (struct vt_conv){ .out_c = C, .k = 3 }));
	return g;
}

static float value_at(int c, int z, int y, int x)
{
	uint32_t h =
		((((uint32_t)c * 8191 + (uint32_t)z) * 8191 + (uint32_t)y) * 8191 + (uint32_t)x) *
		2654435761u;

	return (float)(h >> 8) / 16777216.0f - 0.5f;
}

static float *input_of(int d, int h, int w, const int at[3])
{
	float *p = vt_xmalloc((size_t)C * (size_t)d * (size_t)h * (size_t)w * sizeof(float)),
	      *q = p;

	for (int c = 0; c < C; c++)
		for (int z = 0; z < d; z++)
			for (int y = 0; y < h; y++)
				for (int x = 0; x < w; x++)
					*q++ = value_at(c, z + at[0], y + at[1], x + at[2]);
	return p;
}

static float *output_of(int d, int h, int w, const int at[3], struct vt_device *device)
{
	struct vt_graph *g = network(d, h, w);
	struct vt_err err = VT_ERR_INIT;
	struct vt_session *s = NULL;
	float *x, *y;

	if (vt_session_new(&s, g, &(struct vt_session_opts){ .seed = 1, .device = device }, &err)) {
		fprintf(stderr, "%s\n", err.text);
		exit(err.code);
	}
	x = input_of(d, h, w, at);
	y = vt_xmalloc((size_t)C * (size_t)d * (size_t)h * (size_t)w * sizeof(float));
	vt_session_set_input(s, x);
	vt_session_forward(s, 0);
	vt_session_get_output(s, y);
	if (vt_session_error(s)) {
		fprintf(stderr, "%s\n", vt_session_error(s)->text);
		exit(vt_session_error(s)->code);
	}
	free(x);
	vt_session_free(s);
	vt_graph_free(g);
	return y;
}

/* Relative distance of a tile's inside from the whole's. */
static double differs(const float *whole, int edge, int side, const int at[3])
{
	float *tile = output_of(TILE, TILE, TILE, at, NULL);
	double d = 0, n = 1e-30;

	for (int c = 0; c < C; c++)
		for (int z = HALO; z < TILE - HALO; z++)
			for (int y = HALO; y < TILE - HALO; y++)
				for (int x = HALO; x < TILE - HALO; x++) {
					double a = (double)
						tile[((c * TILE + z) * TILE + y) * TILE + x];
					size_t row =
						((size_t)c * (size_t)edge + (size_t)(at[0] + z)) *
							(size_t)side +
						(size_t)(at[1] + y);
					double b = (double)
						whole[row * (size_t)side + (size_t)(at[2] + x)];

					d += (a - b) * (a - b);
					n += a * a;
				}
	free(tile);
	return sqrt(d / n);
}

int main(int argc, char **argv)
{
	int edge = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 520;
	int side = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 512, bad = 0;
	const int origin[3] = { 0, 0, 0 },
		  at[3][3] = { { 0, 0, 0 }, { edge / 2, side / 2, 7 },
			  { edge - TILE, side - TILE, side - TILE } };
	struct vt_device *device = NULL;
	struct vt_err err = VT_ERR_INIT;
	float *whole;

	vt_log_open("gpu_large", VT_LOG_TEXT, VT_LOG_ERROR);
	if (edge < 2 * TILE || side < 2 * TILE)
		return VT_EUSAGE;
	if (vt_device_open(&device,
		    &(struct vt_device_opts){ .wish = VT_DEVICE_CUDA, .precision = "bf16" },
		    &err)) {
		fprintf(stderr, "%s\n", err.text);
		return err.code;
	}
	whole = output_of(edge, side, side, origin, device);
	for (int i = 0; i < 3; i++) {
		double d = differs(whole, edge, side, at[i]);

		printf("tensor of %.3g GiB, tile at %d, %d, %d: differs by %.2g\n",
			(double)edge * side * side * C * 2 / 1073741824.0, at[i][0], at[i][1],
			at[i][2], d);
		bad |= !(d < 0.02);
	}
	free(whole);
	vt_device_close(device);
	return bad;
}
