/* sample: a space of params -> a recipe for every trial and rung of a search.
 *
 * in   space     which params vary, and how
 *      base      a recipe: what they all have in common (optional)
 * out trial-NNN/rung-K.json */
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/fs.h"
#include "common/seg/search_space.h"
#include "common/stage/stage.h"

struct params {
	int64_t trials, seed, rungs, budget;
	double growth;
};

static const struct vt_port in[] = {
	{ "space", VT_PORT_FILE, false, "the params and how to draw them (docs/search.md)" },
	{ "base", VT_PORT_FILE, true, "recipe with the params that all trials share" },
	{ NULL, 0, false, NULL },
};

static const struct vt_param params[] = {
	VT_INT("trials", trials, 16, 1, 100000, "", "number of trials"),
	VT_INT("seed", seed, 1, 0, 9007199254740991, "", "seed of the draws"),
	VT_INT("rungs", rungs, 3, 1, 9, "", "number of rungs"),
	VT_INT("budget", budget, 500, 1, 10000000, "step", "steps of a trial in the first rung"),
	VT_REAL("growth", growth, 4, 1, 100, "",
		"a rung ends at this multiple of the previous rung's steps"),
	{ .name = NULL },
};

/* Step behind the last of a rung, from 1; 0 before the first. */
static int64_t end_of(const struct params *p, int64_t rung)
{
	double steps = (double)p->budget;

	for (int64_t k = 1; k < rung; k++)
		steps *= p->growth;
	return rung ? (int64_t)floor(steps + 0.5) : 0;
}

/* A rung without a step is no rung. */
static int check_rungs(const struct params *p, struct vt_err *err)
{
	for (int64_t k = 1; k <= p->rungs; k++)
		if (end_of(p, k) <= end_of(p, k - 1))
			return vt_err_set(err, VT_EUSAGE,
				"--budget=%lld --growth=%g: rung %lld would end at step %lld, "
				"where it begins; give a larger --growth or --budget",
				(long long)p->budget, p->growth, (long long)k,
				(long long)end_of(p, k));
	return 0;
}

static int write_rung(const struct vt_stage_run *stage_run, const struct vt_json *trial,
	const char *dir, int64_t rung, struct vt_err *err)
{
	const struct params *p = vt_stage_params(stage_run);
	struct vt_json *recipe = vt_json_new(VT_JSON_OBJECT), *all = vt_json_copy(trial);
	struct vt_buf text = VT_BUF_INIT;
	char *path = vt_asprintf("%s/rung-%lld.json", dir, (long long)rung);
	int rc;

	vt_json_put_int(all, "steps", end_of(p, p->rungs));
	vt_json_put_int(all, "first-step", end_of(p, rung - 1));
	vt_json_put_int(all, "last-step", end_of(p, rung));
	vt_json_put(recipe, "params", all);
	vt_json_pretty(&text, recipe);
	vt_buf_char(&text, '\n');
	rc = vt_fs_write_quick(path, text.data, text.len, 0644, err);
	vt_buf_release(&text);
	vt_json_free(recipe);
	free(path);
	return rc;
}

static int write_trial(const struct vt_stage_run *stage_run, const struct vt_json *space,
	const struct vt_json *base, int64_t k, int digits, struct vt_err *err)
{
	const struct params *p = vt_stage_params(stage_run);
	const struct vt_json *common = vt_json_get(base, "params");
	struct vt_json *trial = common ? vt_json_copy(common) : vt_json_new(VT_JSON_OBJECT);
	char *dir = vt_asprintf("%s/trial-%0*lld", vt_stage_out(stage_run), digits, (long long)k);
	int rc = vt_search_draw(trial, space, (uint64_t)p->seed, (uint64_t)k, err);

	if (!rc)
		rc = vt_fs_mkdirs(dir, err);
	for (int64_t rung = 1; !rc && rung <= p->rungs; rung++)
		rc = write_rung(stage_run, trial, dir, rung, err);
	vt_json_free(trial);
	free(dir);
	return rc;
}

static bool is_recipe(const struct vt_json *j)
{
	const struct vt_json *set = vt_json_get(j, "params");

	return j->type == VT_JSON_OBJECT && (!set || set->type == VT_JSON_OBJECT);
}

static int read_port(struct vt_json **out, const struct vt_stage_run *stage_run, const char *port,
	struct vt_err *err)
{
	const char *given = vt_stage_input(stage_run, port);
	char *name = vt_asprintf("%s.json", port), *path;
	int rc;

	*out = NULL;
	path = given && vt_fs_is_dir(given) ? vt_path_join(given, name)
					    : vt_xstrdup(given ? given : "");
	rc = given ? vt_json_read(out, path, err) : 0;
	if (!rc && given && !is_recipe(*out))
		rc = vt_err_set(err, VT_EDATA, "%s: must be an object, and so its params", path);
	free(path);
	free(name);
	return rc;
}

static int run(struct vt_stage_run *stage_run, struct vt_err *err)
{
	const struct params *p = vt_stage_params(stage_run);
	struct vt_json *space = NULL, *base = NULL;
	int digits = snprintf(NULL, 0, "%lld", (long long)p->trials), rc;

	rc = check_rungs(p, err);
	if (!rc)
		rc = read_port(&space, stage_run, "space", err);
	if (!rc)
		rc = read_port(&base, stage_run, "base", err);
	for (int64_t k = 1; !rc && k <= p->trials; k++)
		rc = write_trial(stage_run, space, base, k, digits, err);
	vt_json_free(space);
	vt_json_free(base);
	return rc;
}

static const struct vt_stage stage = {
	.name = "sample",
	.version = "1",
	.summary =
		"Draws the trials of a hyper-parameter search and writes a recipe for each rung.",
	.output = "trial-NNN/rung-K.json: recipes for train",
	.about = "A param of the space is drawn uniformly, uniformly in its logarithm, "
		 "from integers or from a list. A draw is a function of seed, param and "
		 "trial, so adding trials or params does not change the others.\n"
		 "\n"
		 "All rungs of a trial share one schedule, which ends with the last rung "
		 "(steps). A rung goes from first-step to last-step, and each ends at "
		 "growth times the steps of the previous one. Between rungs, select "
		 "keeps the best trials (ASHA: Li et al. 2020).",
	.in = in,
	.params = params,
	.params_size = sizeof(struct params),
	.run = run,
};

int main(int argc, char **argv)
{
	return vt_stage_main(&stage, argc, argv);
}
