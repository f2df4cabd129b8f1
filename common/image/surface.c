/* surface.c - icosphere, normals and scan conversion, all in fixed order. */
#include "common/image/surface.h"

#include <assert.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/image/vector.h"

static void unit(double v[3])
{
	double l = sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2]);
	for (int i = 0; i < 3; i++)
		v[i] = l > 0 ? v[i] / l : 0;
}

static void icosahedron(struct vt_surface *surface)
{
	static const unsigned faces[20][3] = { { 0, 11, 5 }, { 0, 5, 1 }, { 0, 1, 7 }, { 0, 7, 10 },
		{ 0, 10, 11 }, { 1, 5, 9 }, { 5, 11, 4 }, { 11, 10, 2 }, { 10, 7, 6 }, { 7, 1, 8 },
		{ 3, 9, 4 }, { 3, 4, 2 }, { 3, 2, 6 }, { 3, 6, 8 }, { 3, 8, 9 }, { 4, 9, 5 },
		{ 2, 4, 11 }, { 6, 2, 10 }, { 8, 6, 7 }, { 9, 8, 1 } };
	const double t = (1 + sqrt(5)) / 2;
	const double v[12][3] = { { -1, t, 0 }, { 1, t, 0 }, { -1, -t, 0 }, { 1, -t, 0 },
		{ 0, -1, t }, { 0, 1, t }, { 0, -1, -t }, { 0, 1, -t }, { t, 0, -1 }, { t, 0, 1 },
		{ -t, 0, -1 }, { -t, 0, 1 } };
	memcpy(surface->at, v, sizeof(v));
	memcpy(surface->face, faces, sizeof(faces));
	surface->n_vertices = 12;
	surface->n_faces = 20;
	for (size_t i = 0; i < 12; i++)
		unit(surface->at[i]);
}

/* Vertex in the middle of edge (a, b), made once. seen is indexed by the smaller end: up to 6
 * (larger end, vertex). */
static unsigned midpoint(struct vt_surface *surface, unsigned a, unsigned b, unsigned (*seen)[12])
{
	unsigned lo = a < b ? a : b, hi = a < b ? b : a, *slot = seen[lo];
	int i = 0;
	while (i < 12 && slot[i] != UINT32_MAX) {
		if (slot[i] == hi)
			return slot[i + 1];
		i += 2;
	}
	assert(i < 12); /* a vertex of the icosphere has six edges at most */
	unsigned v = (unsigned)surface->n_vertices++;
	for (int c = 0; c < 3; c++)
		surface->at[v][c] = surface->at[a][c] + surface->at[b][c];
	unit(surface->at[v]);
	slot[i] = hi;
	slot[i + 1] = v;
	return v;
}

static void subdivide(struct vt_surface *surface, unsigned (*seen)[12], unsigned (*old)[3])
{
	size_t n_old = surface->n_faces;
	memcpy(old, surface->face, n_old * sizeof(*old));
	memset(seen, 0xff, surface->n_vertices * sizeof(*seen));
	surface->n_faces = 0;
	for (size_t f = 0; f < n_old; f++) {
		unsigned a = old[f][0], b = old[f][1], c = old[f][2];
		unsigned ab = midpoint(surface, a, b, seen), bc = midpoint(surface, b, c, seen),
			 ca = midpoint(surface, c, a, seen);
		const unsigned add[4][3] = { { a, ab, ca }, { b, bc, ab }, { c, ca, bc },
			{ ab, bc, ca } };
		memcpy(surface->face[surface->n_faces], add, sizeof(add));
		surface->n_faces += 4;
	}
}

/* Neighbor that follows `from` in the ring around v: the third corner of the face (v, from,
 * third). */
static unsigned next_around(const struct vt_surface *surface, const unsigned (*faces_of)[6],
	const unsigned char *n_faces_of, size_t v, unsigned from)
{
	for (int i = 0; i < n_faces_of[v]; i++) {
		const unsigned *f = surface->face[faces_of[v][i]];
		for (int c = 0; c < 3; c++)
			if (f[c] == v && f[(c + 1) % 3] == from)
				return f[(c + 2) % 3];
	}
	return from;
}

static void rings(struct vt_surface *surface, unsigned (*faces_of)[6], unsigned char *n_faces_of)
{
	memset(n_faces_of, 0, surface->n_vertices);
	for (size_t f = 0; f < surface->n_faces; f++)
		for (int c = 0; c < 3; c++) {
			unsigned v = surface->face[f][c];
			assert(v < surface->n_vertices && n_faces_of[v] < 6);
			faces_of[v][n_faces_of[v]++] = (unsigned)f;
		}
	for (size_t v = 0; v < surface->n_vertices; v++) {
		const unsigned *f = surface->face[faces_of[v][0]];
		int c;

		if (f[0] == v)
			c = 0;
		else if (f[1] == v)
			c = 1;
		else
			c = 2;
		surface->n_around[v] = n_faces_of[v];
		surface->around[v][0] = f[(c + 1) % 3];
		for (int i = 1; i < surface->n_around[v]; i++)
			surface->around[v][i] = next_around(surface, (const unsigned(*)[6])faces_of,
				n_faces_of, v, surface->around[v][i - 1]);
	}
}

int vt_surface_icosphere(struct vt_surface *out, unsigned levels, struct vt_err *err)
{
	size_t quarter = (size_t)1 << (2 * levels), nv = 10 * quarter + 2, nf = 20 * quarter;
	struct vt_surface s = { 0 };
	unsigned(*seen)[12] = malloc(nv * sizeof(*seen)), (*old)[3] = malloc(nf * sizeof(*old));
	unsigned(*faces_of)[6] = malloc(nv * sizeof(*faces_of));
	unsigned char *n_faces_of = malloc(nv);
	s.at = malloc(nv * sizeof(*s.at));
	s.face = malloc(nf * sizeof(*s.face));
	s.around = malloc(nv * sizeof(*s.around));
	s.n_around = malloc(nv);
	int rc = 0;
	if (!seen || !old || !faces_of || !n_faces_of || !s.at || !s.face || !s.around ||
		!s.n_around) {
		rc = vt_err_nomem(err, nv * 256);
		vt_surface_release(&s);
	} else {
		icosahedron(&s);
		for (unsigned i = 0; i < levels; i++)
			subdivide(&s, seen, old);
		rings(&s, faces_of, n_faces_of);
		*out = s;
	}
	free(seen);
	free(old);
	free(faces_of);
	free(n_faces_of);
	return rc;
}

void vt_surface_release(struct vt_surface *surface)
{
	free(surface->at);
	free(surface->face);
	free(surface->around);
	free(surface->n_around);
	memset(surface, 0, sizeof(*surface));
}

void vt_surface_normals(const struct vt_surface *surface, double (*normal)[3])
{
	for (size_t v = 0; v < surface->n_vertices; v++) {
		double sum[3] = { 0, 0, 0 };
		for (int i = 0; i < surface->n_around[v]; i++) {
			const double *
				p = surface->at[surface->around[v][i]],
			       *q = surface->at[surface->around[v][(i + 1) % surface->n_around[v]]],
			       *o = surface->at[v];
			double a[3] = { p[0] - o[0], p[1] - o[1], p[2] - o[2] },
			       b[3] = { q[0] - o[0], q[1] - o[1], q[2] - o[2] }, n[3];
			vt_cross(n, a, b);
			for (int c = 0; c < 3; c++)
				sum[c] += n[c];
		}
		unit(sum);
		memcpy(normal[v], sum, sizeof(sum));
	}
}

double vt_surface_edge(const struct vt_surface *surface)
{
	double sum = 0;
	size_t n = 0;
	for (size_t v = 0; v < surface->n_vertices; v++)
		for (int i = 0; i < surface->n_around[v]; i++, n++) {
			const double *a = surface->at[v], *b = surface->at[surface->around[v][i]];
			sum += sqrt((a[0] - b[0]) * (a[0] - b[0]) + (a[1] - b[1]) * (a[1] - b[1]) +
				(a[2] - b[2]) * (a[2] - b[2]));
		}
	return n ? sum / (double)n : 0;
}

/* Signed crossings of one triangle with the columns (i, j): +1 at the first k above the crossing
 * if it faces down. */
static void cross_columns(short *crossing, const size_t dim[3], const double p[3][3])
{
	double area = (p[1][0] - p[0][0]) * (p[2][1] - p[0][1]) -
		(p[2][0] - p[0][0]) * (p[1][1] - p[0][1]);
	double lo[2], hi[2];
	if (area == 0)
		return;
	for (int c = 0; c < 2; c++) {
		lo[c] = fmax(0, ceil(fmin(p[0][c], fmin(p[1][c], p[2][c]))));
		hi[c] = fmin((double)dim[c] - 1, floor(fmax(p[0][c], fmax(p[1][c], p[2][c]))));
	}
	for (double y = lo[1]; y <= hi[1]; y++)
		for (double x = lo[0]; x <= hi[0]; x++) {
			double w[3];
			for (int c = 0; c < 3; c++) {
				const double *a = p[(c + 1) % 3], *b = p[(c + 2) % 3];
				w[c] = ((b[0] - a[0]) * (y - a[1]) - (x - a[0]) * (b[1] - a[1])) /
					area;
			}
			if (w[0] < 0 || w[1] < 0 || w[2] < 0)
				continue;
			double z = ceil(w[0] * p[0][2] + w[1] * p[1][2] + w[2] * p[2][2]);
			if (z >= (double)dim[2])
				continue;
			size_t k = z < 0 ? 0 : (size_t)z;
			crossing[(k * dim[1] + (size_t)y) * dim[0] + (size_t)x] +=
				area > 0 ? -1 : 1;
		}
}

int vt_surface_fill(const struct vt_surface *surface, unsigned char *mask, size_t *n_twisted,
	const size_t dim[3], double step, struct vt_err *err)
{
	size_t slice = dim[0] * dim[1], n = slice * dim[2];
	short *crossing = calloc(n + 1, sizeof(*crossing));
	if (!crossing)
		return vt_err_nomem(err, n * sizeof(*crossing));
	for (size_t f = 0; f < surface->n_faces; f++) {
		double p[3][3];
		/* The offsets keep columns off edges and corners, where one crossing could count
		 * twice. */
		for (int i = 0; i < 3; i++) {
			p[i][0] = surface->at[surface->face[f][i]][0] / step + 1.234567e-6;
			p[i][1] = surface->at[surface->face[f][i]][1] / step + 2.718281e-6;
			p[i][2] = surface->at[surface->face[f][i]][2] / step;
		}
		cross_columns(crossing, dim, (const double(*)[3])p);
	}
	*n_twisted = 0;
	for (size_t i = 0; i < n; i++) {
		if (i >= slice)
			crossing[i] = (short)(crossing[i] + crossing[i - slice]);
		mask[i] = crossing[i] > 0;
		*n_twisted += crossing[i] != 0 && crossing[i] != 1;
	}
	free(crossing);
	return 0;
}
