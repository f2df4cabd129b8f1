#include "common/seg/bootstrap.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/parallel.h"
#include "common/base/rng.h"
#include "common/base/sort.h"
#include "common/image/intensity.h"

struct bootstrap {
	const double *value;
	double *mean; /* [columns, draws] */
	size_t n, columns;
	unsigned draws;
	uint64_t seed;
	struct vt_interval *out;
};

/* Sums run over the subjects in order, each as often as it was drawn: the order of the draws
 * does not reach the rounding. */
static void one_draw(void *ctx, size_t d)
{
	const struct bootstrap *b = ctx;
	struct vt_rng r = vt_rng_stream(b->seed, "bootstrap", d, 0, 0);
	unsigned *times = vt_xcalloc(b->n, sizeof(*times));

	for (size_t i = 0; i < b->n; i++)
		times[vt_rng_below(&r, (uint32_t)b->n)]++;
	for (size_t c = 0; c < b->columns; c++) {
		double sum = 0;

		for (size_t i = 0; i < b->n; i++)
			sum += times[i] * b->value[i * b->columns + c];
		b->mean[c * b->draws + d] = sum / (double)b->n;
	}
	free(times);
}

static void one_column(void *ctx, size_t c)
{
	const struct bootstrap *b = ctx;
	double *mean = b->mean + c * b->draws;

	vt_sort_doubles(mean, b->draws);
	b->out[c] = (struct vt_interval){ vt_percentile_sorted(mean, b->draws, 2.5),
		vt_percentile_sorted(mean, b->draws, 97.5) };
}

void vt_bootstrap_means(struct vt_interval *out, const double *value, size_t n, size_t columns,
	unsigned draws, uint64_t seed)
{
	struct bootstrap b = { value, NULL, n, columns, draws, seed, out };

	memset(out, 0, columns * sizeof(*out));
	if (!n || !columns || !draws)
		return;
	b.mean = vt_xmalloc(columns * draws * sizeof(*b.mean));
	vt_parallel_for(draws, one_draw, &b);
	vt_parallel_for(columns, one_column, &b);
	free(b.mean);
}
