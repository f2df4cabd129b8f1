/* make-cohort: writes DIR/scans/<subject>/{flair,t1,t1ce,t2}.nii.gz and
 * DIR/labels/<subject>/seg.nii.gz. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/base/log.h"
#include "common/base/opts.h"
#include "common/base/parallel.h"
#include "examples/cohort/phantom.h"

struct cohort {
	struct vt_template t;
	const char *out;
	uint64_t seed;
	size_t first;
	int head, coarse;
	struct vt_err *err; /* one a case */
};

static const char *const modality[] = { "flair", "t1", "t1ce", "t2" };

static int write_scan(const struct cohort *c, const char *dir, int m, const float *voxels,
	struct vt_err *err)
{
	int16_t *raw = vt_xmalloc(c->t.n * sizeof(*raw));
	char *path = vt_asprintf("%s/%s.nii.gz", dir, modality[m]);
	int rc;

	for (size_t i = 0; i < c->t.n; i++)
		raw[i] = (int16_t)voxels[i];
	rc = vt_volume_write(path, &c->t.geometry, VT_I16, raw, err);
	free(path);
	free(raw);
	return rc;
}

static int write_case(const struct cohort *c, const struct vt_phantom *phantom, size_t number,
	struct vt_err *err)
{
	char *scans = vt_asprintf("%s/scans/sub-%03zu", c->out, number),
	     *labels = vt_asprintf("%s/labels/sub-%03zu", c->out, number);
	char *path = vt_path_join(labels, "seg.nii.gz");
	int rc = vt_fs_mkdirs(scans, err);

	if (!rc)
		rc = vt_fs_mkdirs(labels, err);
	for (int m = 0; !rc && m < VT_MODALITIES; m++)
		rc = write_scan(c, scans, m, phantom->image[m], err);
	for (size_t i = 0; i < c->t.n; i++)
		/* solid non-enhancing counts as core */
		phantom->seg[i] = phantom->seg[i] == 3 ? 1 : phantom->seg[i];
	if (!rc)
		rc = vt_volume_write(path, &c->t.geometry, VT_U8, phantom->seg, err);
	free(path);
	free(labels);
	free(scans);
	return rc;
}

/* One case; a tumor under 4 ml is drawn again from the next stream. */
static void make_case(void *ctx, size_t i)
{
	struct cohort *c = ctx;
	size_t n = c->t.n;
	struct vt_phantom p = { .t = &c->t, .seed = c->seed, .head = c->head != 0 };

	p.wm = vt_xmalloc(n * sizeof(float));
	p.gm = vt_xmalloc(n * sizeof(float));
	p.csf = vt_xmalloc(n * sizeof(float));
	p.brain = vt_xmalloc(n);
	p.seg = vt_xmalloc(n);
	for (int m = 0; m < VT_MODALITIES; m++)
		p.image[m] = vt_xmalloc(n * sizeof(float));
	for (uint64_t attempt = 0; attempt < 20; attempt++) {
		p.number = (c->first + i) * 100 + attempt;
		p.fields = 0;
		p.r = vt_rng_stream(c->seed, "case", p.number, 0, 0);
		memset(p.seg, 0, n);
		vt_phantom_anatomy(&p);
		if (vt_phantom_tumor(&p))
			break;
	}
	vt_phantom_scan(&p);
	write_case(c, &p, c->first + i, &c->err[i]);
	vt_log(VT_LOG_INFO, "case", "subject=sub-%03zu", c->first + i);
	for (int m = 0; m < VT_MODALITIES; m++)
		free(p.image[m]);
	free(p.wm);
	free(p.gm);
	free(p.csf);
	free(p.brain);
	free(p.seg);
}

/* Beside the sources for a build tree, below share/ for an installed one. */
static char *find_template(const char *given, const char *argv0, struct vt_err *err)
{
	static const char *const tries[] = { "../../../examples/cohort/template",
		"../share/voxtrail/template" };
	char *exe = vt_fs_realpath("/proc/self/exe", err), *slash = exe ? strrchr(exe, '/') : NULL,
	     *found = NULL;

	(void)argv0;
	if (slash)
		*slash = '\0';
	if (given)
		found = vt_xstrdup(given);
	for (int i = 0; !found && slash && i < 2; i++) {
		char *dir = vt_path_join(exe, tries[i]);

		if (vt_fs_is_dir(dir))
			found = dir;
		else
			free(dir);
	}
	if (!found)
		vt_err_set(err, VT_ENOINPUT,
			"the template maps are not beside this program; give --template DIR");
	free(exe);
	return found;
}

static int make(struct cohort *c, const char *template_dir, size_t n, struct vt_err *err)
{
	int rc = vt_template_read(&c->t, template_dir, c->coarse ? 2 : 1, err);

	if (rc)
		return rc;
	c->err = vt_xcalloc(n, sizeof(*c->err));
	vt_parallel_for(n, make_case, c);
	for (size_t i = 0; !rc && i < n; i++)
		if (c->err[i].code) {
			*err = c->err[i];
			rc = err->code;
		}
	free(c->err);
	vt_template_release(&c->t);
	return rc;
}

int main(int argc, char **argv)
{
	struct vt_err err = VT_ERR_INIT;
	struct vt_strs rest = VT_STRS_INIT;
	struct cohort c = { .out = NULL };
	const char *template_dir = NULL;
	long long subjects = 16, seed = 1, first = 1, threads = 0;
	int help = 0;
	char *dir = NULL;
	const struct vt_opt opts[] = {
		{ 'o', "out", VT_OPT_STRING, &c.out, "DIR", "gets scans/ and labels/" },
		{ 'n', "subjects", VT_OPT_INT, &subjects, "N", "how many (default 16)" },
		{ 0, "first", VT_OPT_INT, &first, "K", "number of the first (default 1)" },
		{ 0, "seed", VT_OPT_INT, &seed, "S", "of everything random (default 1)" },
		{ 0, "head", VT_OPT_FLAG, &c.head, NULL, "keep skull and scalp around the brain" },
		{ 0, "coarse", VT_OPT_FLAG, &c.coarse, NULL,
			"voxels of 4 mm instead of 2: an eighth of the work, here and later" },
		{ 0, "template", VT_OPT_STRING, &template_dir, "DIR",
			"tissue maps colin27_{wm,gm,csf}_2mm.nii.gz" },
		{ 0, "threads", VT_OPT_INT, &threads, "N",
			"processors (default all); never changes a byte" },
		{ 'h', "help", VT_OPT_FLAG, &help, NULL, "this text" },
		{ 0, NULL, VT_OPT_END, NULL, NULL, NULL },
	};

	vt_log_open("make-cohort", VT_LOG_AUTO, VT_LOG_INFO);
	if (vt_opts_parse(opts, argc, argv, &rest, &err)) {
		/* said below */
	} else if (help) {
		struct vt_buf text = VT_BUF_INIT;

		vt_opts_help(&text, opts);
		printf("usage: make-cohort --out DIR [--subjects N]\n\nMakes glioma phantoms with "
		       "ground truth.\n\n%s",
			text.data);
		vt_buf_release(&text);
	} else if (!c.out || rest.n || subjects < 1 || subjects > 900 || first < 1 || threads < 0) {
		vt_err_set(&err, VT_EUSAGE, "give --out DIR, --subjects 1 to 900, --first from 1");
	} else if ((dir = find_template(template_dir, argv[0], &err)) != NULL) {
		c.seed = (uint64_t)seed;
		c.first = (size_t)first;
		vt_parallel_set_threads((unsigned)threads);
		make(&c, dir, (size_t)subjects, &err);
	}
	if (err.code)
		vt_log(VT_LOG_ERROR, "failed", "code=%d reason=\"%s\"", err.code, err.text);
	free(dir);
	vt_strs_release(&rest);
	return err.code;
}
