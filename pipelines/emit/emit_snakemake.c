/* A Snakefile.  Snakemake compares times and file names, not content, so it is given names that
 * are content: every pipeline is
 *   plan_X    a checkpoint that always runs: the keys of the datums there are (plan --views)
 *   X         one datum, whose marker .done/X/<key> is there if this very work was done
 *   merge_X   the union of the parts that the plan lists
 * What was added, edited, removed or withdrawn is then seen as `voxtrail run` sees it, and so
 * are a new recipe and a new program.  Rules depend on markers, because Snakemake writes a time
 * stamp into every directory() output and the next stage would take it for data.  Texts of the
 * spec stand in the file as literals only. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "pipelines/emit/emit_internal.h"

/* "crop-patch" is crop_patch; a second pipeline of that name gets its number behind it. */
static void rule_name(struct vt_buf *buf, const struct vt_spec *spec, size_t index)
{
	const char *name = spec->pipeline[index].name;
	bool taken = false;

	vt_buf_clear(buf);
	for (const char *p = name; *p; p++)
		vt_buf_char(buf, *p == '-' ? '_' : *p);
	for (size_t i = 0; i < spec->n; i++) {
		const char *other = spec->pipeline[i].name, *p = buf->data;

		while (*p && (*other == *p || (*other == '-' && *p == '_'))) {
			p++;
			other++;
		}
		taken |= i != index && !*p && !*other;
	}
	if (taken)
		vt_buf_printf(buf, "_%zu", index);
}

static void assign(struct vt_buf *buf, const char *table, const char *name, const char *text)
{
	vt_buf_printf(buf, "%s[", table);
	vt_json_quote(buf, name);
	vt_buf_str(buf, "] = ");
	vt_json_quote(buf, text);
	vt_buf_char(buf, '\n');
}

static void resources(struct vt_buf *buf, const struct vt_pipeline *pipeline)
{
	double cpu = vt_json_number(vt_json_pointer(pipeline->json, "/resourceRequests/cpu"),
		vt_json_number(vt_json_pointer(pipeline->json, "/resourceLimits/cpu"), 1));

	vt_buf_printf(buf, "    threads: %.0f\n", cpu > 1 ? ceil(cpu) : 1.0);
	if (pipeline->memory > 0 || pipeline->gpus > 0 || pipeline->datum_timeout > 0)
		vt_buf_str(buf, "    resources:\n");
	if (pipeline->memory > 0)
		vt_buf_printf(buf, "        mem_mb=%.0f,\n", ceil(pipeline->memory / 1e6));
	if (pipeline->gpus > 0)
		vt_buf_printf(buf, "        gpu=%lld,\n", pipeline->gpus);
	if (pipeline->datum_timeout > 0) /* minutes, for every try */
		vt_buf_printf(buf, "        runtime=%.0f,\n",
			ceil(pipeline->datum_timeout * (double)pipeline->tries / 60) + 1);
}

static void plan_rule(struct vt_buf *buf, const struct vt_spec *spec,
	const struct vt_pipeline *pipeline, const char *rule)
{
	struct vt_strs repos = VT_STRS_INIT;

	vt_emit_repos_of(pipeline, &repos);
	vt_buf_printf(buf, "\ncheckpoint plan_%s:\n    input:\n        \".now\",\n", rule);
	for (size_t i = 0; i < repos.n; i++)
		if (vt_spec_find(spec, repos.v[i]))
			vt_buf_printf(buf, "        \".merged/%s\",\n", repos.v[i]);
	vt_buf_printf(buf,
		"    output:\n        \".keys/%s\",\n    params:\n        now=NOW,\n        "
		"spec=SPEC[",
		pipeline->name);
	vt_json_quote(buf, pipeline->name);
	vt_buf_str(buf, "],\n        repos=[");
	for (size_t i = 0; i < repos.n; i++) {
		vt_buf_str(buf, i ? ", \"--repo=\" + " : "\"--repo=\" + ");
		vt_json_quote(buf, repos.v[i]);
		vt_buf_str(buf, " + \"=\" + repo(");
		vt_json_quote(buf, repos.v[i]);
		vt_buf_char(buf, ')');
	}
	vt_buf_printf(buf,
		"],\n    shell:\n        \"mkdir -p .views .keys && rm -rf .views/%s && printf %%s "
		"{params.spec:q} >.views/%s.json && \"\n        \"voxtrail plan .views/%s.json "
		"--pipeline %s {params.repos:q} --views .views/%s --keys {output:q}\"\n",
		pipeline->name, pipeline->name, pipeline->name, pipeline->name, pipeline->name);
	vt_strs_release(&repos);
}

static void datum_rule(struct vt_buf *buf, const struct vt_pipeline *pipeline, const char *rule)
{
	vt_buf_printf(buf,
		"\nrule %s:\n    input:\n        ancient(\".keys/%s\"),\n    output:\n        "
		"touch(\".done/%s/{key}\"),\n    wildcard_constraints:\n        "
		"key=\"[0-9a-f]{64}\",\n",
		rule, pipeline->name, pipeline->name);
	resources(buf, pipeline);
	vt_buf_str(buf, "    params:\n        step=STEP[");
	vt_json_quote(buf, pipeline->name);
	vt_buf_printf(buf,
		"],\n    shell:\n        \"sh -c {params.step:q} %s .parts/%s/{wildcards.key} "
		".views/%s.json .views/%s/{wildcards.key}\"\n",
		pipeline->name, pipeline->name, pipeline->name, pipeline->name);
}

static void merge_rule(struct vt_buf *buf, const struct vt_spec *spec,
	const struct vt_pipeline *pipeline, const char *rule)
{
	const char *demand = vt_pipeline_must_leave(spec, pipeline) ? " --not-only-quarantine" : "";

	vt_buf_printf(buf,
		"\ndef datums_of_%s(wildcards):\n    with "
		"open(checkpoints.plan_%s.get().output[0]) as f:\n"
		"        return [\".done/%s/\" + key for key in f.read().split()]\n",
		rule, rule, pipeline->name);
	vt_buf_printf(buf,
		"\nrule merge_%s:\n    input:\n        datums_of_%s,\n        "
		"listed=\".keys/%s\",\n "
		"   output:\n"
		"        touch(\".merged/%s\"),\n    shell:\n        \"mkdir -p .parts/%s .new && "
		"rm -rf .new/%s && \"\n"
		"        \"voxtrail merge --from .parts/%s --only {input.listed:q} --out .new/%s%s "
		"&& "
		"\"\n"
		"        \"rm -rf %s && mv .new/%s %s\"\n",
		rule, rule, pipeline->name, pipeline->name, pipeline->name, pipeline->name,
		pipeline->name, pipeline->name, demand, pipeline->name, pipeline->name,
		pipeline->name);
}

static void head(struct vt_buf *buf, const struct vt_strs *sources)
{
	vt_buf_str(buf,
		"# Generated by voxtrail emit; do not edit.\n#   snakemake -s FILE -j N -d OUT "
		"--config");
	for (size_t i = 0; i < sources->n; i++) {
		vt_buf_char(buf, ' ');
		for (const char *p = sources->v[i]; *p; p++)
			vt_buf_char(buf, *p == '-' ? '_' : *p);
		vt_buf_str(buf, strlen(sources->v[i]) == 1 ? "_=DIR" : "=DIR");
	}
	vt_buf_str(buf,
		"\n# Every pipeline's output is OUT/<pipeline>.  What subjects decided is read "
		"from the store that\n"
		"# --config voxtrail_store=DIR, $VOXTRAIL_STORE or .voxtrail where snakemake was "
		"started names.\n"
		"import os\nimport sys\nimport time\n\nSPEC = {}\nSTEP = {}\n");
}

/* Every run of the main process has a time of its own, which the planning rules depend on; jobs
 * on other machines read this file again and must not change it. */
static const char prelude[] =
	"\n\ndef repo(name):\n"
	"    key = name.replace(\"-\", \"_\") + (\"_\" if len(name) == 1 else \"\")\n"
	"    return os.path.abspath(str(config[key])) if key in config else name\n\n\n"
	"def consent():\n"
	"    if \"voxtrail_consent\" in config or \"voxtrail_store\" in config:\n"
	"        path = config.get(\"voxtrail_consent\") or "
	"os.path.join(str(config[\"voxtrail_store\"]), \"consent.json\")\n"
	"        if not os.path.isdir(os.path.dirname(os.path.abspath(str(path)))):\n"
	"            sys.exit(\"consent: there is no \" + str(path))\n"
	"        return os.path.abspath(str(path))\n"
	"    here = os.environ.get(\"PWD\", \".\")\n"
	"    if os.environ.get(\"VOXTRAIL_CONSENT\"):\n"
	"        return os.path.join(here, os.environ[\"VOXTRAIL_CONSENT\"])\n"
	"    store = os.path.join(here, os.environ.get(\"VOXTRAIL_STORE\") or \".voxtrail\")\n"
	"    if os.path.isdir(store):\n"
	"        return os.path.join(os.path.abspath(store), \"consent.json\")\n"
	"    if os.environ.get(\"VOXTRAIL_STORE\"):\n"
	"        sys.exit(\"consent: there is no \" + store)\n"
	"    return \"\"\n\n\n"
	"os.environ[\"VOXTRAIL_CONSENT\"] = consent()\n"
	"NOW = time.time_ns()\n"
	"if \"--mode\" not in sys.argv:\n"
	"    with open(\".now\", \"w\") as f:\n"
	"        f.write(str(NOW))\n";

int vt_emit_snakemake(struct vt_buf *buf, const struct vt_spec *specs, struct vt_err *err)
{
	struct vt_strs sources = VT_STRS_INIT;
	struct vt_buf text = VT_BUF_INIT, rule = VT_BUF_INIT;

	if (vt_emit_refuse(specs, "Snakemake", err))
		return err->code;
	vt_emit_source_repos(specs, &sources);
	head(buf, &sources);
	for (size_t i = 0; i < specs->n; i++) {
		const struct vt_pipeline *p = &specs->pipeline[specs->order[i]];
		char *spec = vt_emit_one(p);

		assign(buf, "SPEC", p->name, spec);
		vt_buf_clear(&text);
		vt_emit_step(&text, p);
		assign(buf, "STEP", p->name, text.data);
		free(spec);
	}
	vt_buf_str(buf, prelude);
	vt_buf_str(buf, "\n\nrule all:\n    input:\n");
	for (size_t i = 0; i < specs->n; i++)
		vt_buf_printf(buf, "        \".merged/%s\",\n",
			specs->pipeline[specs->order[i]].name);
	for (size_t i = 0; i < specs->n; i++) {
		const struct vt_pipeline *p = &specs->pipeline[specs->order[i]];

		rule_name(&rule, specs, specs->order[i]);
		plan_rule(buf, specs, p, rule.data);
		datum_rule(buf, p, rule.data);
		merge_rule(buf, specs, p, rule.data);
	}
	vt_buf_release(&text);
	vt_buf_release(&rule);
	vt_strs_release(&sources);
	return 0;
}
