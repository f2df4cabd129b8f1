/* The rules of configure.h by known answers: a network whose need is a formula. */
#include "common/seg/configure.h"
#include "tests/check.h"

/* 1000 bytes a voxel at 8 filters, in proportion; 800 multiply-adds a voxel, in the square. */
static int need(struct vt_configure_need *out, int filters, const int patch[3], void *ctx,
	struct vt_err *err)
{
	double voxels = (double)patch[0] * patch[1] * patch[2], f = filters ? filters / 8.0 : 1;

	(void)ctx;
	(void)err;
	*out = (struct vt_configure_need){ 1000 * f * voxels, 800 * f * f * voxels };
	return 0;
}

static const struct vt_configure_facts brats = { .n_train = 100,
	.n_validation = 25,
	.channels = 4,
	.regions = 3,
	.spacing = { 1, 1, 1 },
	.median = { 140, 170, 136 },
	.smallest = { 120, 150, 125 } };

static struct vt_configure_recipe recipe;
static struct vt_err err = VT_ERR_INIT;

static int configure(const struct vt_configure_facts *f, double mib, double minutes, bool fixed,
	int stride)
{
	struct vt_configure_limits limits = { mib * 1048576, minutes, fixed, stride };

	err = (struct vt_err)VT_ERR_INIT;
	return vt_configure(&recipe, f, &limits, need, NULL, &err);
}

static void patch_is(int z, int y, int x)
{
	CHECK_EQ(recipe.patch[0], z);
	CHECK_EQ(recipe.patch[1], y);
	CHECK_EQ(recipe.patch[2], x);
}

/* 128^3 x 4000 bytes = 8000 MiB; 128^3 x 800 x 16 x 3 = 80.5 G a step, 2.16e12 a minute. */
static void plenty(void)
{
	CHECK_EQ(configure(&brats, 8000, 1e4, false, 8), 0);
	CHECK_EQ(recipe.filters, 32);
	patch_is(128, 128, 128);
	CHECK(recipe.pad);
	CHECK_EQ(recipe.steps, 40000);
	CHECK_EQ(recipe.validate, 4000);
	CHECK_EQ(recipe.max_validation, 0);
	CHECK_EQ(recipe.warmup, 1000);
	CHECK(fabs(recipe.rate - 0.001) < 1e-12);
}

/* 32 filters take 4000 bytes a voxel: 2000 MiB hold 80^3, 900 MiB no 64^3; 16 filters take half. */
static void memory_takes_the_patch(void)
{
	CHECK_EQ(configure(&brats, 2000, 1e4, false, 8), 0);
	CHECK_EQ(recipe.filters, 32);
	patch_is(80, 80, 80);
	CHECK_EQ(configure(&brats, 900, 1e4, false, 8), 0);
	CHECK_EQ(recipe.filters, 16);
	CHECK(recipe.patch[0] >= 64 && recipe.patch[1] >= 64 && recipe.patch[2] >= 64);
	CHECK((double)recipe.patch[0] * recipe.patch[1] * recipe.patch[2] * 2000 <=
		900.0 * 1048576);
}

/* The longest edge in mm is cut first: slices 4 mm apart keep their number. */
static void thick_slices(void)
{
	struct vt_configure_facts f = brats;

	f.spacing[0] = 4;
	f.median[0] = 30;
	CHECK_EQ(configure(&f, 100, 1e4, true, 8), 0);
	CHECK_EQ(recipe.filters, 0);
	/* 32 x 56 x 56 x 1000 bytes = 95.7 MiB, 64 x 56 would be 109 */
	patch_is(32, 56, 56);
}

/* 60 minutes x 2.4e12 x 0.9 / (3 x 800 x 128^3) = 25749 steps of 8 filters, 6437 of 16, 1609 of
 * 32: too few. */
static void time_takes_the_filters(void)
{
	CHECK_EQ(configure(&brats, 1e5, 60, false, 8), 0);
	CHECK_EQ(recipe.filters, 16);
	patch_is(128, 128, 128);
	CHECK_EQ(recipe.steps, 6430);
	CHECK_EQ(recipe.validate, 643);
	/* one subject: 800 x 4 x 140 x 170 x 136 x 64 / 27; a tenth of the time ten times over */
	CHECK_EQ(recipe.max_validation, 0);
	CHECK_EQ(recipe.warmup, 160);
}

/* A minute: 429 steps of 128^3 and 8 filters; one stride less on the first edge makes 457, on the
 * second 488, on the third 520. */
static void time_takes_the_patch(void)
{
	CHECK_EQ(configure(&brats, 1e5, 1, false, 8), 0);
	CHECK_EQ(recipe.filters, 8);
	patch_is(120, 120, 120);
	CHECK_EQ(recipe.steps, 520);
	CHECK_EQ(recipe.max_validation, 3);
	CHECK(fabs(recipe.rate - 0.002) < 1e-12);
}

static void small_volumes(void)
{
	struct vt_configure_facts f = brats;

	for (int a = 0; a < 3; a++)
		f.median[a] = f.smallest[a] = 20;
	CHECK_EQ(configure(&f, 1000, 60, false, 16), 0);
	patch_is(32, 32, 32);
	CHECK(recipe.pad);
	CHECK_EQ(recipe.filters, 32);
}

/* 32^3: 32 MiB of 8 filters; 100 steps: 0.0036 minutes. */
static void refuses_too_little(void)
{
	CHECK_EQ(configure(&brats, 30, 60, false, 8), VT_ENOMEM);
	CHECK_STR(err.text,
		"--memory-limit: a patch of 32x32x32, the smallest, needs 32 MiB to train "
		"on, 30 may be used");
	CHECK_EQ(configure(&brats, 1000, 0.003, false, 8), VT_EUSAGE);
	CHECK(strstr(err.text, "--time-budget=0.003: makes 80 steps of a patch of 32x32x32"));
}

int main(void)
{
	RUN(plenty);
	RUN(memory_takes_the_patch);
	RUN(thick_slices);
	RUN(time_takes_the_filters);
	RUN(time_takes_the_patch);
	RUN(small_volumes);
	RUN(refuses_too_little);
	return check_done();
}
