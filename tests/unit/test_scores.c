/* Intervals of means over subjects; where patches about the middle lie. */
#include "common/base/parallel.h"
#include "common/base/rng.h"
#include "common/seg/bootstrap.h"
#include "common/seg/dataset.h"
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

/* catalyst-team/neuro: 38 of 256 voxels, centers from 20 to 237; scipy.stats.truncnorm has a mean
 * of 128.18 and a deviation of 51.47. */
static void centers_are_a_truncated_normal(void)
{
	enum { N = 40000 };
	struct vt_rng r = vt_rng_stream(1, "center", 0, 0, 0);
	double sum = 0, square = 0;
	int low = 256, high = 0;

	for (int i = 0; i < N; i++) {
		int c = vt_dataset_center(256, 38, 0.25, &r) + 19;

		low = c < low ? c : low;
		high = c > high ? c : high;
		sum += c;
		square += (double)c * c;
	}
	CHECK(low == 20 && high == 237);
	CHECK_NEAR(sum / N, 128.18, 0.8);
	CHECK_NEAR(sqrt(square / N - sum / N * (sum / N)), 51.47, 0.6);
	CHECK(vt_dataset_center(20, 38, 0.25, &r) == -9);
}

int main(void)
{
	RUN(few_subjects_have_known_intervals);
	RUN(many_subjects_agree_with_the_normal_theory);
	RUN(centers_are_a_truncated_normal);
	RUN(threads_and_further_columns_move_nothing);
	return check_done();
}
