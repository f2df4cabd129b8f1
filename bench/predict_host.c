/* predict_host - milliseconds of what predict does around the network for one subject: medians
 * of REPEATS, a JSON line by the clock on the wall and one by the processors' time.
 *
 *      predict_host SCANS MANIFEST SUBJECT WORK REPEATS
 *
 * "files" is preparation by way of files in WORK, as skullstrip-normalize and crop-patch make
 * them.  "join" cuts and joins windows of 128 cubed at overlap 0.5 with a network of one voxel's
 * reach, as predict does on the CPU. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/fs.h"
#include "common/base/log.h"
#include "common/image/volume.h"
#include "common/seg/cohort.h"
#include "common/seg/crop.h"
#include "common/seg/paste.h"
#include "common/seg/predictor.h"

enum { STEPS = 6, MOST = 64 };
static const char *const step_names[STEPS] = { "files", "prepare", "crop", "join", "decide",
	"paste_and_write" };

static double now(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return 1e3 * (double)t.tv_sec + 1e-6 * (double)t.tv_nsec;
}

static int by_files(const char *subject, char **argv, const struct vt_manifest *manifest,
	const struct vt_prepare_opts *opts, const struct vt_crop_opts *crop, struct vt_err *err)
{
	struct vt_prepare_report report;
	struct vt_label_loss lost = { .n = 0 };
	struct vt_patch_file f;
	char *file = vt_path_join(argv[4], "subject.vtp");
	int rc = vt_cohort_prepare(argv[4], subject, argv[1], manifest, opts, &report, err);

	if (!rc)
		rc = vt_crop_subject(&lost, file, manifest, subject, argv[4], NULL, NULL, crop,
			err);
	if (!rc)
		rc = vt_patch_open(&f, file, err);
	if (!rc)
		vt_patch_close(&f);
	free(file);
	return rc;
}

static struct vt_session *network(struct vt_graph **graph, int channels, struct vt_err *err)
{
	struct vt_session *s = NULL;
	int x;

	*graph = vt_graph_new();
	x = vt_graph_input(*graph, (struct vt_shape){ 1, channels, 128, 128, 128 });
	vt_graph_output(*graph,
		vt_graph_conv(*graph, x, "w", (struct vt_conv){ .out_c = 3, .k = 1 }));
	vt_session_new(&s, *graph, &(struct vt_session_opts){ .seed = 1 }, err);
	return s;
}

static int once(double t[2][STEPS], char **argv, const struct vt_manifest *manifest,
	struct vt_session *session, struct vt_err *err)
{
	const struct vt_prepare_opts o = VT_PREPARE_OPTS_DEFAULT;
	const struct vt_crop_opts crop = { .margin = 2, .multiple = 8 };
	const struct vt_predict_opts how = { .overlap = 0.5 };
	struct vt_prepared prepared = { .geometry = NULL };
	struct vt_patch_file f = { .header = NULL };
	struct vt_prediction *p = NULL;
	uint8_t *bits = NULL;
	char *path = vt_path_join(argv[4], "seg.nii.gz");
	double begun[2] = { now(CLOCK_MONOTONIC), now(CLOCK_PROCESS_CPUTIME_ID) };
	int rc = by_files(argv[3], argv, manifest, &o, &crop, err);

#define STEP(k, call)                                                                              \
	do {                                                                                       \
		t[0][k] = now(CLOCK_MONOTONIC) - begun[0];                                         \
		t[1][k] = now(CLOCK_PROCESS_CPUTIME_ID) - begun[1];                                \
		begun[0] += t[0][k];                                                               \
		begun[1] += t[1][k];                                                               \
		rc = rc ? rc : (call);                                                             \
	} while (0)
	STEP(0, vt_cohort_load(&prepared, argv[3], argv[1], manifest, &o, err));
	STEP(1, vt_crop_prepared(&f, manifest, argv[3], &prepared, NULL, &crop, err));
	STEP(2, vt_predict_begin(&p, &session, 1, false, &f, &how, err));
	if (!rc)
		bits = vt_xmalloc((size_t)f.d * (size_t)f.h * (size_t)f.w);
	STEP(3, vt_predict_bits(bits, p, err));
	STEP(4, vt_paste_labels(path, bits, &f, manifest, err));
	STEP(5, 0);
#undef STEP
	vt_predict_free(p);
	vt_patch_close(&f);
	vt_prepared_release(&prepared);
	free(bits);
	free(path);
	return rc;
}

static int ascending(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

int main(int argc, char **argv)
{
	struct vt_err err = VT_ERR_INIT;
	struct vt_manifest *m = NULL;
	struct vt_graph *g = NULL;
	struct vt_session *s = NULL;
	double t[2][STEPS], all[2][STEPS][MOST];
	int n = argc == 6 ? (int)strtol(argv[5], NULL, 10) : 0;

	if (n < 1 || n > MOST)
		return 64;
	vt_log_open("predict_host", VT_LOG_TEXT, VT_LOG_ERROR);
	if (!vt_manifest_read(&m, argv[2], &err))
		s = network(&g, m->n_channels, &err);
	for (int i = 0; !err.code && i < n; i++) {
		once(t, argv, m, s, &err);
		for (int k = 0; k < 2 * STEPS; k++)
			all[k / STEPS][k % STEPS][i] = t[k / STEPS][k % STEPS];
	}
	for (int c = 0; c < 2; c++)
		for (int k = 0; !err.code && k < STEPS; k++) {
			qsort(all[c][k], (size_t)n, sizeof(double), ascending);
			printf("%s\"%s\":%.1f%s",
				k           ? ","
					: c ? "{\"clock\":\"cpu\","
					    : "{\"clock\":\"wall\",",
				step_names[k], all[c][k][n / 2], k + 1 == STEPS ? "}\n" : "");
		}
	if (err.code)
		fprintf(stderr, "%s\n", err.text);
	vt_session_free(s);
	vt_graph_free(g);
	vt_manifest_free(m);
	return err.code;
}
