/* trials: what became of the trials of a search.
 *
 * in   configs            output of sample
 *      rung-1 ... rung-5  checkpoints by trial
 * out trials.csv, trials.json, trials.html */
#include <stddef.h>
#include <stdlib.h>

#include "common/base/fs.h"
#include "common/seg/trials.h"
#include "common/stage/stage.h"

struct params {
	int64_t by;
};

static const char *const scores[] = { "dice", "loss", NULL };
static const char *const rungs[] = { "rung-1", "rung-2", "rung-3", "rung-4", "rung-5", NULL };

static const struct vt_port in[] = {
	{ "configs", VT_PORT_DIR, false, "output of sample" },
	{ "rung-1", VT_PORT_DIR, false, "one checkpoint per trial, under the trial's name" },
	{ "rung-2", VT_PORT_DIR, true, "checkpoints of the trials that continued" },
	{ "rung-3", VT_PORT_DIR, true, "and on" },
	{ "rung-4", VT_PORT_DIR, true, "and on" },
	{ "rung-5", VT_PORT_DIR, true, "and on" },
	{ NULL, 0, false, NULL },
};

static const struct vt_param params[] = {
	VT_ENUM("by", by, scores, 0,
		"score of a checkpoint's best weights: Dice, or the loss of --keep loss"),
	{ .name = NULL },
};

static int write_all(struct vt_stage_run *stage_run, const struct vt_trial *trial, size_t n,
	const char *by, struct vt_err *err)
{
	struct vt_buf text = VT_BUF_INIT;
	struct vt_json *j = vt_trials_json(trial, n, by);
	int rc;

	vt_trials_csv(&text, trial, n, by);
	rc = vt_stage_write(stage_run, "trials.csv", &text, err);
	vt_buf_clear(&text);
	vt_json_pretty(&text, j);
	vt_buf_char(&text, '\n');
	if (!rc)
		rc = vt_stage_write(stage_run, "trials.json", &text, err);
	vt_buf_clear(&text);
	vt_trials_html(&text, trial, n, by);
	if (!rc)
		rc = vt_stage_write(stage_run, "trials.html", &text, err);
	vt_json_free(j);
	vt_buf_release(&text);
	return rc;
}

static int run(struct vt_stage_run *stage_run, struct vt_err *err)
{
	const struct params *p = vt_stage_params(stage_run);
	const char *dir[sizeof(rungs) / sizeof(rungs[0])] = { NULL };
	struct vt_trial *t = NULL;
	size_t n = 0;
	int rc;

	for (int k = 0; rungs[k] && vt_stage_input(stage_run, rungs[k]); k++)
		dir[k] = vt_stage_input(stage_run, rungs[k]);
	rc = vt_trials_read(&t, &n, vt_stage_input(stage_run, "configs"), dir, scores[p->by],
		p->by == 1, err);
	if (!rc)
		rc = write_all(stage_run, t, n, scores[p->by], err);
	vt_trials_free(t, n);
	return rc;
}

static const struct vt_stage stage = {
	.name = "trials",
	.version = "2",
	.summary = "Reports a search: every trial with its params and scores, and the "
		   "winner.",
	.output = "trials.csv, trials.json, trials.html (one self-contained page with a picture)",
	.about = "Trials are ranked by the last rung they reached and their score there; the first "
		 "is the winner. Columns are the params that differ between trials.",
	.in = in,
	.params = params,
	.params_size = sizeof(struct params),
	.learns = true,
	.run = run,
};

int main(int argc, char **argv)
{
	return vt_stage_main(&stage, argc, argv);
}
