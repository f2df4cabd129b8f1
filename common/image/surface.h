/* surface.h - a closed triangle mesh grown from an icosphere, and the voxels inside it.  For
 * brain_surface.c. */
#ifndef COMMON_IMAGE_SURFACE_H
#define COMMON_IMAGE_SURFACE_H

#include <stddef.h>

#include "common/base/err.h"

struct vt_surface {
	size_t n_vertices, n_faces;
	double (*at)[3];         /* position of each vertex */
	unsigned (*face)[3];     /* vertices, counter-clockwise seen from outside */
	unsigned (*around)[6];   /* neighbors of each vertex in ring order */
	unsigned char *n_around; /* 5 or 6 */
};

/* 10 * 4^levels + 2 vertices on the unit sphere; levels 0 to 6. */
int vt_surface_icosphere(struct vt_surface *out, unsigned levels, struct vt_err *err);
void vt_surface_release(struct vt_surface *surface);

/* Unit outward normal at each vertex: sum of the ring's triangle normals, weighted by area. */
void vt_surface_normals(const struct vt_surface *surface, double (*normal)[3]);

/* Mean length of the edges. */
double vt_surface_edge(const struct vt_surface *surface);

/* mask = 1 at grid points (i, j, k) * step that the surface winds around, whether or not it
 * crosses itself. n_twisted: points it winds around more than once or the wrong way; 0 for a
 * surface that does not cross itself. */
int vt_surface_fill(const struct vt_surface *surface, unsigned char *mask, size_t *n_twisted,
	const size_t dim[3], double step, struct vt_err *err);

#endif
