/* Intervals of means over subjects. */
#include "common/base/parallel.h"
#include "common/base/rng.h"
#include "common/seg/bootstrap.h"
#include "tests/check.h"

enum { SUBJECTS = 120, DRAWS = 4000 };

static void few_subjects_have_known_intervals(void)
{
	const double one[1] = { 0.7 }, two[2] = { 0.2, 0.9 }, same[4] = { 0.5, 0.5, 0.5, 0.5 };
	struct vt_interval ci;

	vt_bootstrap_means(&ci, one, 1, 1, DRAWS, 1);
	CHECK(ci.low == 0.7 && ci.high == 0.7);
	/* A quarter of the draws takes the one twice, a quarter the other. */
	vt_bootstrap_means(&ci, two, 2, 1, DRAWS, 1);
	CHECK(ci.low == 0.2 && ci.high == 0.9);
	vt_bootstrap_means(&ci, same, 4, 1, DRAWS, 1);
	CHECK(ci.low == 0.5 && ci.high == 0.5);
	vt_bootstrap_means(&ci, two, 2, 1, 0, 1);
	CHECK(ci.low == 0 && ci.high == 0);
}

static void normal_sample(double *v, size_t columns)
{
	struct vt_rng r = vt_rng_stream(3, "test", 0, 0, 0);

	for (size_t i = 0; i < SUBJECTS; i++)
		for (size_t c = 0; c < columns; c++)
			v[i * columns + c] = c ? i : 5 + 2 * vt_rng_normal(&r);
}

static void many_subjects_agree_with_the_normal_theory(void)
{
	double v[SUBJECTS], mean = 0, square = 0, half;
	struct vt_interval ci;

	normal_sample(v, 1);
	for (int i = 0; i < SUBJECTS; i++) {
		mean += v[i] / SUBJECTS;
		square += v[i] * v[i] / SUBJECTS;
	}
	half = 1.959964 * sqrt((square - mean * mean) / SUBJECTS);
	vt_bootstrap_means(&ci, v, SUBJECTS, 1, DRAWS, 1);
	CHECK_NEAR(ci.low, mean - half, 0.1 * half);
	CHECK_NEAR(ci.high, mean + half, 0.1 * half);
}

static void threads_and_further_columns_move_nothing(void)
{
	double one[SUBJECTS], two[2 * SUBJECTS];
	struct vt_interval a, b[2];

	normal_sample(one, 1);
	for (int i = 0; i < SUBJECTS; i++) {
		two[2 * i] = one[i];
		two[2 * i + 1] = i;
	}
	vt_parallel_set_threads(1);
	vt_bootstrap_means(&a, one, SUBJECTS, 1, DRAWS, 1);
	vt_parallel_set_threads(2);
	vt_bootstrap_means(b, two, SUBJECTS, 2, DRAWS, 1);
	CHECK(!memcmp(&a, &b[0], sizeof(a)));
}

int main(void)
{
	RUN(few_subjects_have_known_intervals);
	RUN(many_subjects_agree_with_the_normal_theory);
	RUN(threads_and_further_columns_move_nothing);
	return check_done();
}
