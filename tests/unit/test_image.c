/* test_image.c - parts of common/image that need no file from another tool: mesh, pictures,
 * gzip, geometry, statistics. */
#include <stdbool.h>
#include <stdlib.h>

#include "common/image/brain_mask.h"
#include "common/image/gzip.h"
#include "common/image/intensity.h"
#include "common/image/morphology.h"
#include "common/image/picture.h"
#include "common/image/resample.h"
#include "common/image/surface.h"
#include "tests/check.h"

static struct vt_err err = VT_ERR_INIT;

static void icosphere_is_closed_and_round(void)
{
	struct vt_surface s;
	CHECK_EQ(vt_surface_icosphere(&s, 4, &err), 0);
	CHECK_EQ(s.n_vertices, 2562);
	CHECK_EQ(s.n_faces, 5120);
	size_t five = 0, ends = 0;
	double(*normal)[3] = malloc(s.n_vertices * sizeof(*normal));
	vt_surface_normals(&s, normal);
	for (size_t v = 0; v < s.n_vertices; v++) {
		const double *p = s.at[v], *n = normal[v];
		five += s.n_around[v] == 5;
		ends += s.n_around[v];
		CHECK_NEAR(p[0] * p[0] + p[1] * p[1] + p[2] * p[2], 1, 1e-12);
		CHECK(p[0] * n[0] + p[1] * n[1] + p[2] * n[2] > 0.999);
	}
	CHECK_EQ(five, 12);
	CHECK_EQ(s.n_vertices - ends / 2 + s.n_faces, 2);
	free(normal);
	vt_surface_release(&s);
}

static void filled_sphere_has_its_volume(void)
{
	enum { N = 64 };
	static unsigned char mask[N * N * N];
	const size_t dim[3] = { N, N, N };
	struct vt_surface s;
	size_t twisted = 1;
	vt_surface_icosphere(&s, 4, &err);
	for (size_t v = 0; v < s.n_vertices; v++)
		for (int a = 0; a < 3; a++)
			s.at[v][a] = s.at[v][a] * 40 + 63;
	CHECK_EQ(vt_surface_fill(&s, mask, &twisted, dim, 2, &err), 0);
	CHECK_EQ(twisted, 0);
	CHECK_NEAR(vt_mask_count(mask, sizeof(mask)) * 8.0 / (4.0 / 3 * 3.14159265 * 64000), 1,
		0.01);
	/* A turned-over surface winds the wrong way everywhere. */
	for (size_t v = 0; v < s.n_vertices; v++)
		s.at[v][0] = 126 - s.at[v][0];
	vt_surface_fill(&s, mask, &twisted, dim, 2, &err);
	CHECK(twisted > 30000 && vt_mask_count(mask, sizeof(mask)) == 0);
	vt_surface_release(&s);
}

static void gzip_holds_what_went_in(void)
{
	enum { N = 100000 };
	unsigned char *in = malloc(N), *out = malloc(N), head[10];
	struct vt_buf a = VT_BUF_INIT, b = VT_BUF_INIT;
	size_t got = 0;
	for (size_t i = 0; i < N; i++)
		in[i] = (unsigned char)(i * i >> 7);
	CHECK_EQ(vt_gzip_deflate(&a, in, N, 6, &err), 0);
	CHECK_EQ(vt_gzip_deflate(&b, in, N, 6, &err), 0);
	CHECK(a.len == b.len && !memcmp(a.data, b.data, a.len));
	CHECK_EQ(vt_gzip_inflate(out, N, (unsigned char *)a.data, a.len, &err), 0);
	CHECK(!memcmp(in, out, N));
	CHECK_EQ(vt_gzip_head(head, 10, &got, (unsigned char *)a.data, a.len, &err), 0);
	CHECK(got == 10 && !memcmp(head, in, 10));
	/* The first half of the content is wanted: the rest is still checked. */
	CHECK_EQ(vt_gzip_inflate(out, N / 2, (unsigned char *)a.data, a.len, &err), 0);
	CHECK(!memcmp(in, out, N / 2));
	a.data[a.len - 6] ^= 1;
	CHECK_EQ(vt_gzip_inflate(out, N / 2, (unsigned char *)a.data, a.len, &err), VT_EDATA);
	CHECK_EQ(vt_gzip_inflate(out, N, (unsigned char *)a.data, a.len, &err), VT_EDATA);
	CHECK_EQ(vt_gzip_inflate(out, N, (unsigned char *)b.data, b.len / 2, &err), VT_EDATA);
	err = (struct vt_err)VT_ERR_INIT;
	vt_buf_release(&a);
	vt_buf_release(&b);
	free(in);
	free(out);
}

static void whole_numbers_have_an_exact_mean(void)
{
	enum { N = 200001 };
	float *x = malloc(N * sizeof(*x));
	struct vt_moments a, b;
	for (size_t i = 0; i < N; i++)
		x[i] = (float)(i * 7919 % 65536);
	CHECK_EQ(vt_moments(&a, x, NULL, N, &err), 0);
	for (size_t i = 0; i < N / 2; i++) {
		float swap = x[i];
		x[i] = x[N - 1 - i];
		x[N - 1 - i] = swap;
	}
	vt_moments(&b, x, NULL, N, &err);
	CHECK(a.mean == b.mean && a.std == b.std);
	x[5] = NAN;
	CHECK_EQ(vt_moments(&b, x, NULL, N, &err), VT_EDATA);
	err = (struct vt_err)VT_ERR_INIT;
	free(x);
}

static void geometry_refuses_what_is_no_grid(void)
{
	const size_t dim[3] = { 4, 5, 6 };
	const double spacing[3] = { 1, 2, 3 };
	struct vt_geometry g, h;
	char code[4];
	vt_geometry_init(&g, dim, spacing);
	CHECK_EQ(vt_geometry_check(&g, &err), 0);
	vt_geometry_code(&g, code);
	CHECK_STR(code, "RAS");
	CHECK_NEAR(vt_geometry_voxel_ml(&g), 0.006, 1e-15);
	h = g;
	h.affine[0][3] += 0.5;
	CHECK_NEAR(vt_geometry_gap(&g, &h), 0.5, 1e-12);
	CHECK_EQ(vt_geometry_same(&g, "t1", &h, "flair", 0.05, &err), VT_EDATA);
	CHECK(strstr(err.text, "t1") && strstr(err.text, "flair") && strstr(err.text, "0.500 mm"));
	for (int i = 0; i < 3; i++)
		h.affine[i][1] = h.affine[i][0];
	CHECK_EQ(vt_geometry_check(&h, &err), VT_EDATA);
	err = (struct vt_err)VT_ERR_INIT;
}

/* A ball on an oblique 3 mm grid, labeled on a 1 mm grid of other axes, comes back where it
 * was. */
static void labels_come_back_to_an_oblique_scan(void)
{
	static const double oblique[3][4] = { { -1.9, 0.3, 0.2, 40 }, { 0.25, -1.9, 0.3, 38 },
		{ 0.2, 0.2, 2.98, -50 } };
	const size_t dim[3] = { 40, 38, 30 };
	const double one[3] = { 1, 1, 1 };
	struct vt_geometry g, grid;
	struct vt_placement p;
	vt_geometry_init(&g, dim, one);
	vt_geometry_set_affine(&g, oblique);
	vt_geometry_cube(&grid, &g, 120, 1);
	vt_placement_canonical(&p, &g);
	vt_placement_resampled(&p, &grid);
	unsigned char *work = calloc(vt_geometry_count(&p.work), 1),
		      *back = malloc(vt_geometry_count(&g));
	double center[3] = { 19, 18, 15 }, mm[3], here[3];
	vt_geometry_to_mm(&g, center, center);
	for (size_t i = 0; i < vt_geometry_count(&p.work); i++) {
		const double at[3] = { (double)(i % 120), (double)(i / 120 % 120),
			(double)(i / 14400) };
		vt_geometry_to_mm(&p.work, at, mm);
		double d = hypot(hypot(mm[0] - center[0], mm[1] - center[1]), mm[2] - center[2]);
		work[i] = d < 12 ? 4 : d < 20 ? 2 : 0;
	}
	CHECK_EQ(vt_labels_to_native(back, &p, work, &err), 0);
	size_t wrong = 0;
	for (size_t i = 0; i < vt_geometry_count(&g); i++) {
		const double at[3] = { (double)(i % 40), (double)(i / 40 % 38),
			(double)(i / 1520) };
		vt_geometry_to_mm(&g, at, here);
		double d =
			hypot(hypot(here[0] - center[0], here[1] - center[1]), here[2] - center[2]);
		/* A millimeter around each border is the grid's own resolution. */
		if (fabs(d - 12) > 1 && fabs(d - 20) > 1)
			wrong += back[i] != (d < 12 ? 4 : d < 20 ? 2 : 0);
	}
	CHECK_EQ(wrong, 0);
	free(work);
	free(back);
}

static void picture_is_deterministic(void)
{
	static const unsigned char white[3] = { 255, 255, 255 };
	struct vt_picture p;
	struct vt_buf a = VT_BUF_INIT, b = VT_BUF_INIT;
	CHECK_EQ(vt_picture_new(&p, 40, 12, &err), 0);
	vt_picture_text(&p, 1, 1, "T1 0.9", 1, white);
	vt_picture_set(&p, 1000, 1000, white);
	CHECK(p.rgb[3 * (1 * 40 + 1)] == 255);
	CHECK_EQ(vt_picture_png(&a, &p, &err), 0);
	CHECK_EQ(vt_picture_png(&b, &p, &err), 0);
	CHECK(a.len == b.len && !memcmp(a.data, b.data, a.len) && !memcmp(a.data, "\x89PNG", 4));
	vt_buf_release(&a);
	vt_buf_release(&b);
	vt_picture_release(&p);
}

static void constant_head_is_refused(void)
{
	const size_t dim[3] = { 20, 20, 20 };
	const double spacing[3] = { 2, 2, 2 };
	struct vt_brain_opts opts = VT_BRAIN_OPTS_DEFAULT;
	struct vt_brain_report report;
	struct vt_geometry g;
	float *x = calloc(8000, sizeof(*x));
	unsigned char *mask = malloc(8000);
	vt_geometry_init(&g, dim, spacing);
	CHECK_EQ(vt_brain_mask_surface(mask, &report, x, &g, &opts, &err), VT_EDATA);
	err = (struct vt_err)VT_ERR_INIT;
	x[4000] = 1;
	CHECK_EQ(vt_brain_mask_surface(mask, &report, x, &g, &opts, &err), VT_EDATA);
	err = (struct vt_err)VT_ERR_INIT;
	free(x);
	free(mask);
}

/* A ball of 70 mm whose center lies `cut` mm less than its radius from one side; side in the
 * order of border_cm2. */
static unsigned border_flag(int side, double cut, int stored_first, double border_cm2[6])
{
	const size_t dim[3] = { 80, 80, 80 };
	struct vt_geometry g;
	double affine[3][4] = { { 0 } }, center[3] = { 79, 79, 79 };
	unsigned char *mask = calloc(80 * 80 * 80, 1);
	struct vt_brain_report report = { .flags = 0 };
	size_t i = 0;

	/* Stored axes begin with the one asked for and run backwards: the sides are anatomical,
	 * not those of the file. */
	for (int a = 0; a < 3; a++) {
		int row = (a + stored_first) % 3;

		affine[row][a] = -2;
		affine[row][3] = 158;
	}
	vt_geometry_init(&g, dim, (const double[3]){ 2, 2, 2 });
	vt_geometry_set_affine(&g, affine);
	center[side / 2] = side & 1 ? 159 - (70 - cut) : 70 - cut - 1;
	for (size_t z = 0; z < 80; z++)
		for (size_t y = 0; y < 80; y++)
			for (size_t x = 0; x < 80; x++, i++) {
				double index[3] = { (double)x, (double)y, (double)z }, mm[3], d = 0;

				vt_geometry_to_mm(&g, index, mm);
				for (int a = 0; a < 3; a++)
					d += (mm[a] - center[a]) * (mm[a] - center[a]);
				mask[i] = d < 70 * 70;
			}
	vt_brain_mask_judge(mask, &report, &g);
	memcpy(border_cm2, report.border_cm2, sizeof(report.border_cm2));
	free(mask);
	return report.flags & VT_BRAIN_BORDER;
}

static void a_brain_cut_by_the_grid_is_flagged_by_side_and_depth(void)
{
	double cm2[6];

	for (int side = 0; side < 6; side++) {
		CHECK(!border_flag(side, 0, side % 3, cm2));
		CHECK(!border_flag(side, 9, side % 3, cm2));
		CHECK(!!border_flag(side, 15, side % 3, cm2) == (side != 4));
		CHECK(border_flag(side, 40, side % 3, cm2));
		/* Circle where the ball is cut: pi (70^2 - 30^2). */
		CHECK_NEAR(cm2[side], 3.14159265 * 40, 4);
		for (int s = 0; s < 6; s++)
			CHECK(s == side || cm2[s] == 0);
	}
}

int main(void)
{
	RUN(icosphere_is_closed_and_round);
	RUN(filled_sphere_has_its_volume);
	RUN(gzip_holds_what_went_in);
	RUN(whole_numbers_have_an_exact_mean);
	RUN(geometry_refuses_what_is_no_grid);
	RUN(labels_come_back_to_an_oblique_scan);
	RUN(picture_is_deterministic);
	RUN(constant_head_is_refused);
	RUN(a_brain_cut_by_the_grid_is_flagged_by_side_and_depth);
	return check_done();
}
