#include "pipelines/spec/spec.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "pipelines/spec/glob.h"
#include "pipelines/spec/spec_extends.h"
#include "pipelines/spec/yaml_read.h"

static const struct {
	const char *key;
	enum vt_input_kind kind;
} kinds[] = {
	{ "pfs", VT_INPUT_PFS },
	{ "cron", VT_INPUT_CRON },
	{ "cross", VT_INPUT_CROSS },
	{ "join", VT_INPUT_JOIN },
	{ "group", VT_INPUT_GROUP },
	{ "union", VT_INPUT_UNION },
};

static const char *given_name(const struct vt_input *in)
{
	if (in->kind == VT_INPUT_PFS || in->kind == VT_INPUT_CRON)
		return in->named ? in->name : "";
	/* of a cross or join the first child's, sorted already */
	return in->n ? given_name(in->child[0]) : "";
}

/* Stable, by the name as written: an input without one sorts first, as on the server. */
static void sort_children(struct vt_input *in)
{
	/* insertion: few inputs, and stable */
	for (size_t i = 1; i < in->n; i++)
		for (size_t j = i;
			j && strcmp(given_name(in->child[j - 1]), given_name(in->child[j])) > 0;
			j--) {
			struct vt_input *t = in->child[j];
			in->child[j] = in->child[j - 1];
			in->child[j - 1] = t;
		}
}

static void read_pfs(struct vt_input *in, const struct vt_json *j)
{
	in->json = j;
	in->repo = vt_json_text(vt_json_get(j, "repo"), "");
	in->named = *vt_json_text(vt_json_get(j, "name"), "") != 0;
	in->name = in->named ? vt_json_text(vt_json_get(j, "name"), "") : in->repo;
	in->branch = vt_json_text(vt_json_get(j, "branch"), "master");
	/* "//x" and "/x" are one pattern */
	in->glob = vt_glob_clean(vt_json_text(vt_json_get(j, "glob"), ""));
	in->join_on = vt_json_text(vt_json_get(j, "joinOn"), "");
	in->group_by = vt_json_text(vt_json_get(j, "groupBy"), "");
	in->outer_join = vt_json_true(vt_json_get(j, "outerJoin"), false);
	in->empty_files = vt_json_true(vt_json_get(j, "emptyFiles"), false);
	in->reference = vt_json_true(vt_json_get(j, "reference"), false);
	in->lazy = vt_json_true(vt_json_get(j, "lazy"), false);
	in->trigger = vt_json_get(j, "trigger");
	in->s3 = vt_json_true(vt_json_get(j, "s3"), false);
}

static void read_cron(struct vt_input *in, const struct vt_json *j, const char *pipeline)
{
	in->json = j;
	in->cron_spec = vt_json_text(vt_json_get(j, "spec"), "");
	in->named = *vt_json_text(vt_json_get(j, "name"), "") != 0;
	in->name = vt_json_text(vt_json_get(j, "name"), "cron");
	/* Pachyderm's default; the pipeline's own name is that of its output */
	in->default_repo = vt_asprintf("%s_%s", pipeline, in->name);
	in->repo = vt_json_text(vt_json_get(j, "repo"), in->default_repo);
	in->branch = "master";
	in->join_on = in->group_by = "";
	in->overwrite = vt_json_true(vt_json_get(j, "overwrite"), false);
	in->glob = vt_xstrdup("/*");
}

static struct vt_input *read_input(const struct vt_json *j, const char *pointer,
	const char *pipeline, struct vt_findings *findings)
{
	struct vt_input *in = vt_xcalloc(1, sizeof *in);
	in->pointer = vt_xstrdup(pointer);
	in->pipeline = pipeline;
	/* an object with exactly one member, the kind */
	if (vt_json_members(j) != 1) {
		vt_findings_add(findings, VT_FINDING_ERROR, pointer,
			"has %zu input kinds; write exactly one of pfs, cron, cross, join, group, "
			"union",
			vt_json_members(j));
		return in;
	}
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		if (!strcmp(kinds[i].key, j->key[0]))
			in->kind = kinds[i].kind;
	const struct vt_json *body = j->item[0];
	if (in->kind == VT_INPUT_PFS) {
		read_pfs(in, body);
	} else if (in->kind == VT_INPUT_CRON) {
		read_cron(in, body, pipeline);
	} else {
		in->child = vt_xcalloc(body->n + 1, sizeof *in->child);
		for (size_t i = 0; i < body->n; i++) {
			char *at = vt_asprintf("%s/%s/%zu", pointer, j->key[0], i);
			in->child[in->n++] = read_input(body->item[i], at, pipeline, findings);
			free(at);
		}
		sort_children(in);
	}
	return in;
}

const char *vt_pipeline_annotation(const struct vt_pipeline *pipeline, const char *key)
{
	const struct vt_json *m =
		vt_json_get(vt_json_get(pipeline->json, "metadata"), "annotations");
	return vt_json_text(vt_json_get(m, key), NULL);
}

static void mark_warm(struct vt_input *in, const char *warm)
{
	if (in->name && !strcmp(in->name, warm))
		in->warm = true;
	for (size_t i = 0; i < in->n; i++)
		mark_warm(in->child[i], warm);
}

static void read_pipeline(struct vt_pipeline *pipeline, const struct vt_json *j,
	const char *pointer, struct vt_findings *findings)
{
	pipeline->pointer = vt_xstrdup(pointer);
	pipeline->json = vt_spec_normalize(j, pointer, findings);
	if (!pipeline->json)
		/* defaults as Pachyderm has them */
		pipeline->json = vt_json_new(VT_JSON_OBJECT);
	const struct vt_json *name = vt_json_get(pipeline->json, "pipeline"),
			     *input = vt_json_get(pipeline->json, "input");
	pipeline->name = vt_json_text(vt_json_get(name, "name"), "");
	pipeline->project =
		vt_json_text(vt_json_get(vt_json_get(name, "project"), "name"), "default");
	pipeline->output_branch =
		vt_json_text(vt_json_get(pipeline->json, "outputBranch"), "master");
	pipeline->transform = vt_json_get(pipeline->json, "transform");
	pipeline->parallelism =
		vt_json_integer(vt_json_pointer(pipeline->json, "/parallelismSpec/constant"), 1);
	pipeline->tries = vt_json_integer(vt_json_get(pipeline->json, "datumTries"), 3);
	pipeline->gpus =
		vt_json_integer(vt_json_pointer(pipeline->json, "/resourceLimits/gpu/number"), 0);
	vt_spec_seconds(vt_json_text(vt_json_get(pipeline->json, "datumTimeout"), ""),
		&pipeline->datum_timeout);
	vt_spec_seconds(vt_json_text(vt_json_get(pipeline->json, "jobTimeout"), ""),
		&pipeline->job_timeout);
	vt_spec_quantity(vt_json_text(vt_json_pointer(pipeline->json, "/resourceRequests/memory"),
				 ""),
		&pipeline->memory);
	pipeline->every_job =
		!strcmp(vt_json_text(vt_json_get(pipeline->json, "reprocessSpec"), ""),
			"every_job");
	if (input) {
		char *at = vt_asprintf("%s/input", pointer);
		pipeline->input = read_input(input, at, pipeline->name, findings);
		free(at);
	}
	pipeline->warm = vt_pipeline_annotation(pipeline, "voxtrail/warm-start");
	/* warm: its input is the last run's output of the same pipeline */
	if (pipeline->warm && pipeline->input)
		mark_warm(pipeline->input, pipeline->warm);
}

void vt_input_leaves(const struct vt_input *in, void (*fn)(void *ctx, const struct vt_input *leaf),
	void *ctx)
{
	if (!in)
		return;
	if (in->kind == VT_INPUT_PFS || in->kind == VT_INPUT_CRON)
		fn(ctx, in);
	for (size_t i = 0; i < in->n; i++)
		vt_input_leaves(in->child[i], fn, ctx);
}

struct readiness {
	const struct vt_spec *s;
	const char *self;
	const bool *placed;
	const char *missing; /* a pipeline that is not placed yet, NULL: none */
};

/* Where the pipelines of this name begin in by_name. */
static size_t first_named(const struct vt_spec *spec, const char *name)
{
	size_t from = 0, to = spec->n;

	while (from < to) {
		size_t middle = from + (to - from) / 2;

		if (strcmp(spec->by_name[middle]->name, name) < 0)
			from = middle + 1;
		else
			to = middle;
	}
	return from;
}

const struct vt_pipeline *vt_spec_find(const struct vt_spec *spec, const char *name)
{
	size_t i = first_named(spec, name);

	return i < spec->n && !strcmp(spec->by_name[i]->name, name) ? spec->by_name[i] : NULL;
}

static void leaf_ready(void *ctx, const struct vt_input *leaf)
{
	struct readiness *r = ctx;
	const struct vt_spec *s = r->s;

	if (leaf->kind != VT_INPUT_PFS || (leaf->warm && !strcmp(leaf->repo, r->self)))
		return;
	/* a name may be given twice, which lint reports: all of them must be placed */
	for (size_t i = first_named(s, leaf->repo);
		i < s->n && !strcmp(s->by_name[i]->name, leaf->repo); i++)
		if (!r->placed[s->by_name[i] - s->pipeline])
			r->missing = leaf->repo;
}

/* File order among those whose inputs are all placed: stable, so that plans and logs read as the
 * file does. */
static void sort_pipelines(struct vt_spec *spec, struct vt_findings *findings)
{
	bool *placed = vt_xcalloc(spec->n + 1, sizeof *placed);
	size_t *order = vt_xcalloc(spec->n + 1, sizeof *order), n = 0;
	/* each round places at least one, or there is a cycle */
	for (bool moved = true; moved && n < spec->n;) {
		moved = false;
		for (size_t i = 0; i < spec->n; i++) {
			struct readiness r = { spec, spec->pipeline[i].name, placed, NULL };
			if (placed[i])
				continue;
			vt_input_leaves(spec->pipeline[i].input, leaf_ready, &r);
			if (r.missing)
				continue;
			placed[i] = moved = true;
			order[n++] = i;
		}
	}
	/* what is left waits in a ring */
	for (size_t i = 0; i < spec->n && n < spec->n; i++) {
		struct readiness r = { spec, spec->pipeline[i].name, placed, NULL };
		if (placed[i])
			continue;
		vt_input_leaves(spec->pipeline[i].input, leaf_ready, &r);
		vt_findings_add(findings, VT_FINDING_ERROR, spec->pipeline[i].input->pointer,
			"pipeline \"%s\" waits for \"%s\" in a cycle; break it, or name the input "
			"in the annotation voxtrail/warm-start",
			spec->pipeline[i].name, r.missing);
	}
	if (n == spec->n)
		spec->order = order;
	else
		free(order);
	free(placed);
}

bool vt_spec_is_yaml(const char *path)
{
	const char *dot = strrchr(path, '.');
	return dot && (!strcmp(dot, ".yaml") || !strcmp(dot, ".yml"));
}

/* One document is that document, several are a list of specs. */
static int read_yaml(struct vt_json **out, const char *text, size_t n, const char *path,
	struct vt_err *err)
{
	struct vt_json *all;
	if (vt_yaml_parse(&all, text, n, path, err))
		return err->code;
	*out = all;
	if (all->n == 1) {
		*out = vt_json_copy(all->item[0]);
		vt_json_free(all);
	}
	return 0;
}

static int by_name(const void *a, const void *b)
{
	const struct vt_pipeline *x = *(struct vt_pipeline *const *)a,
				 *y = *(struct vt_pipeline *const *)b;
	int c = strcmp(x->name, y->name);

	/* the order of the file among equal names */
	return c ? c : (x > y) - (x < y);
}

static void index_names(struct vt_spec *spec)
{
	spec->by_name = vt_xcalloc(spec->n, sizeof(struct vt_pipeline *));
	for (size_t i = 0; i < spec->n; i++)
		spec->by_name[i] = &spec->pipeline[i];
	if (spec->n > 1)
		qsort(spec->by_name, spec->n, sizeof(struct vt_pipeline *), by_name);
}

int vt_spec_parse(struct vt_spec **out, const char *text, size_t n, const char *path,
	struct vt_findings *findings, struct vt_err *err)
{
	struct vt_json *j;

	if (n >= 3 && !memcmp(text, "\xef\xbb\xbf", 3)) { /* a byte order mark says nothing */
		text += 3;
		n -= 3;
	}
	if (vt_spec_is_yaml(path) ? read_yaml(&j, text, n, path, err)
				  : vt_json_parse(&j, text, n, path, err))
		return err->code;
	/* an extended file is one list of specs from here on */
	if (vt_json_get(j, "extends") && vt_spec_extend(&j, path, 0, err))
		return err->code;
	if (j->type == VT_JSON_ARRAY && j->n > VT_SPEC_MOST) {
		vt_err_set(err, VT_EDATA, "%s: %zu pipelines in one file; at most %d", path, j->n,
			VT_SPEC_MOST);
		vt_json_free(j);
		return err->code;
	}
	struct vt_spec *s = vt_xcalloc(1, sizeof *s);
	const char *slash = strrchr(path, '/');
	s->path = vt_xstrdup(path);
	/* the directory of relative files; "/" is its own */
	s->dir = slash ? vt_xstrndup(path, slash > path ? (size_t)(slash - path) : 1)
		       : vt_xstrdup(".");
	bool many = j->type == VT_JSON_ARRAY;
	if (many && !j->n)
		vt_findings_add(findings, VT_FINDING_ERROR, "",
			"holds no pipeline; write at least one");
	s->n = many ? j->n : 1;
	s->pipeline = vt_xcalloc(s->n + 1, sizeof *s->pipeline);
	for (size_t i = 0; i < s->n; i++) {
		char *at = many ? vt_asprintf("/%zu", i) : vt_xstrdup("");
		read_pipeline(&s->pipeline[i], many ? j->item[i] : j, at, findings);
		free(at);
	}
	/* pipelines hold normalized copies */
	vt_json_free(j);
	index_names(s);
	sort_pipelines(s, findings);
	*out = s;
	return 0;
}

int vt_spec_read(struct vt_spec **out, const char *path, struct vt_findings *findings,
	struct vt_err *err)
{
	struct vt_buf text = VT_BUF_INIT;
	if (!vt_fs_read(&text, path, 64u << 20, err))
		vt_spec_parse(out, text.data ? text.data : "", text.len, path, findings, err);
	vt_buf_release(&text);
	return err->code;
}

static void input_free(struct vt_input *in)
{
	if (!in)
		return;
	for (size_t i = 0; i < in->n; i++)
		input_free(in->child[i]);
	free(in->child);
	free(in->glob);
	free(in->default_repo);
	free(in->pointer);
	free(in);
}

void vt_spec_free(struct vt_spec *spec)
{
	if (!spec)
		return;
	for (size_t i = 0; i < spec->n; i++) {
		input_free(spec->pipeline[i].input);
		vt_json_free(spec->pipeline[i].json);
		free(spec->pipeline[i].pointer);
	}
	free(spec->pipeline);
	free(spec->by_name);
	free(spec->order);
	free(spec->path);
	free(spec->dir);
	free(spec);
}
