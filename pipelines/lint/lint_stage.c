/* Commands that name a stage which lies beside this program are held against the stage's own
 * table (--describe=json): its ports, its params with their ranges, and the params of the recipe
 * file where the spec says which file that is. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/fs.h"
#include "common/base/opts.h"
#include "pipelines/runner/datum.h"
#include "pipelines/lint/lint.h"
#include "pipelines/lint/lint_internal.h"
#include "pipelines/runner/programs.h"
#include "pipelines/spec/shell.h"

#define ERROR(at, ...) vt_findings_add(findings, VT_FINDING_ERROR, at, __VA_ARGS__)
#define WARN(at, ...)  vt_findings_add(findings, VT_FINDING_WARNING, at, __VA_ARGS__)

/* --- the stage's table --------------------------------------------------- */

struct vt_json *vt_stage_describe(const char *program)
{
	int ends[2], status = 1;
	char piece[8192];
	struct vt_buf b = VT_BUF_INIT;
	struct vt_json *j = NULL;
	struct vt_err none = VT_ERR_INIT;
	if (pipe(ends))
		return NULL;
	pid_t pid = fork();
	if (pid == 0) {
		dup2(ends[1], 1);
		close(ends[0]);
		close(2);
		execl(program, program, "--describe=json", (char *)NULL);
		_exit(127);
	}
	close(ends[1]);
	for (ssize_t n; pid > 0 && (n = read(ends[0], piece, sizeof piece)) > 0;)
		vt_buf_add(&b, piece, (size_t)n);
	close(ends[0]);
	if (pid > 0)
		waitpid(pid, &status, 0);
	if (b.len && WIFEXITED(status) && !WEXITSTATUS(status))
		vt_json_parse(&j, b.data, b.len, program, &none);
	vt_buf_release(&b);
	return j;
}

/* The --describe=json of a stage that lies beside this program; NULL if there is none of that
 * name.  Borrowed. */
static const struct vt_json *stage_table(const char *name)
{
	static struct {
		char name[64];
		struct vt_json *table;
	} known[64];
	static size_t n;
	if (!islower((unsigned char)*name) || strlen(name) > 63 ||
		strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != strlen(name))
		return NULL;
	for (size_t i = 0; i < n; i++)
		if (!strcmp(known[i].name, name))
			return known[i].table;
	char *program = vt_program_beside(name);
	struct vt_json *table = program && strcmp(name, "voxtrail") && strcmp(name, "make-cohort")
		? vt_stage_describe(program)
		: NULL;
	free(program);
	if (n < sizeof known / sizeof *known) {
		memcpy(known[n].name, name, strlen(name) + 1);
		known[n++].table = table;
	}
	return table;
}

static const struct vt_json *entry(const struct vt_json *list, const char *name, size_t n)
{
	for (size_t i = 0; list && i < list->n; i++) {
		const char *own = vt_json_text(vt_json_get(list->item[i], "name"), "");
		if (vt_opts_same_name(own, name, n))
			return list->item[i];
	}
	return NULL;
}

static const char *nearest(const struct vt_json *table, const char *name)
{
	static const char *const lists[] = { "inputs", "params" };
	const struct vt_json *ports = vt_json_get(table, lists[0]),
			     *params = vt_json_get(table, lists[1]);
	size_t most = (ports ? ports->n : 0) + (params ? params->n : 0), n = 0;
	const char **known = vt_xcalloc(most + 1, sizeof(*known)), *best;

	for (int l = 0; l < 2; l++) {
		const struct vt_json *list = vt_json_get(table, lists[l]);

		for (size_t i = 0; list && i < list->n; i++)
			known[n++] = vt_json_text(vt_json_get(list->item[i], "name"), "");
	}
	best = vt_opts_nearest(known, n, name);
	free(known);
	return best;
}

/* What is wrong with the value of a param; NULL if nothing.  Caller frees. */
static char *value_error(const struct vt_json *param, const char *value)
{
	const char *kind = vt_json_text(vt_json_get(param, "kind"), "");
	const struct vt_json *names = vt_json_get(param, "names"), *min = vt_json_get(param, "min"),
			     *max = vt_json_get(param, "max");
	char *end;
	if (!strcmp(kind, "enum")) {
		struct vt_buf b = VT_BUF_INIT;
		for (size_t i = 0; names && i < names->n; i++) {
			if (!strcmp(vt_json_text(names->item[i], ""), value)) {
				vt_buf_release(&b);
				return NULL;
			}
			vt_buf_printf(&b, "%s%s", i ? ", " : "", vt_json_text(names->item[i], ""));
		}
		char *all = vt_buf_detach(&b), *text = vt_asprintf("write one of %s", all);
		free(all);
		return text;
	}
	if (strcmp(kind, "int") && strcmp(kind, "real"))
		return NULL;
	double v = strtod(value, &end);
	if (!*value || *end || (!strcmp(kind, "int") && strpbrk(value, ".eE")))
		return vt_asprintf("write %s", *kind == 'i' ? "a whole number" : "a number");
	if (min && max && (v < vt_json_number(min, 0) || v > vt_json_number(max, 0)))
		return vt_asprintf("write %g to %g", vt_json_number(min, 0),
			vt_json_number(max, 0));
	return NULL;
}

/* --- one command --------------------------------------------------------- */

struct command {
	const struct vt_pipeline *p;
	const struct vt_json *table;
	const char *stage;
	struct vt_findings *f;
};

static const char *const common_options[] = { "out", "recipe", "store", "scratch", "threads", "log",
	"plan", "help", "version", "describe" };

static void check_option(const struct command *c, const char *word, const char *value,
	const char *pointer)
{
	struct vt_findings *findings = c->f;
	const char *name = word + 2, *eq = strchr(name, '=');
	size_t n = eq ? (size_t)(eq - name) : strlen(name);
	const struct vt_json *param = entry(vt_json_get(c->table, "params"), name, n);
	for (size_t i = 0; i < sizeof common_options / sizeof *common_options; i++)
		if (strlen(common_options[i]) == n && !strncmp(common_options[i], name, n))
			return;
	if (!param && !entry(vt_json_get(c->table, "inputs"), name, n)) {
		char *plain = vt_xstrndup(name, n);
		const char *near = nearest(c->table, plain);
		ERROR(pointer, "%s has neither a port nor a param --%s; %s%s", c->stage, plain,
			near ? "write --" : "remove it", near ? near : "");
		free(plain);
		return;
	}
	char *why = param && (eq || value) && !strchr(eq ? eq : value, '$')
		? value_error(param, eq ? eq + 1 : value)
		: NULL;
	if (why)
		ERROR(pointer, "%s --%.*s %s: %s", c->stage, (int)n, name, eq ? eq + 1 : value,
			why);
	free(why);
}

static void check_required(const struct command *c, const struct vt_strs *words,
	const char *pointer)
{
	const struct vt_json *ports = vt_json_get(c->table, "inputs");
	struct vt_findings *findings = c->f;
	bool recipe = false;
	for (size_t i = 0; i < words->n; i++)
		recipe |= !strncmp(words->v[i], "--recipe", 8);
	for (size_t k = 0; ports && k < ports->n; k++) {
		const char *name = vt_json_text(vt_json_get(ports->item[k], "name"), "");
		bool given = vt_json_true(vt_json_get(ports->item[k], "optional"), false);
		for (size_t i = 0; i < words->n; i++)
			given |= !strncmp(words->v[i], "--", 2) &&
				!strncmp(words->v[i] + 2, name, strlen(name)) &&
				(!words->v[i][2 + strlen(name)] ||
					words->v[i][2 + strlen(name)] == '=');
		if (!given)
			ERROR(pointer, "%s needs --%s; add it with an input's path", c->stage,
				name);
	}
	if (!recipe)
		WARN(pointer,
			"%s has no --recipe, so no commit says which params it ran with; add a "
			"recipe input",
			c->stage);
}

static void check_device(const struct command *c, const struct vt_strs *words, const char *pointer)
{
	struct vt_findings *findings = c->f;
	for (size_t i = 0; i < words->n; i++) {
		bool cuda = !strcmp(words->v[i], "--device=cuda") ||
			(i && !strcmp(words->v[i - 1], "--device") && !strcmp(words->v[i], "cuda"));
		if (cuda && !c->p->gpus)
			ERROR(pointer,
				"%s runs on a GPU and the spec asks for none; add "
				"\"resourceLimits\": "
				"{\"gpu\": {\"type\": \"nvidia.com/gpu\", \"number\": 1}}",
				c->stage);
	}
}

/* --- its recipe ---------------------------------------------------------- */

struct finding_leaf {
	const char *name;
	size_t n;
	const struct vt_input *leaf;
};

static void find_leaf(void *ctx, const struct vt_input *leaf)
{
	struct finding_leaf *w = ctx;
	if (strlen(leaf->name) == w->n && !strncmp(leaf->name, w->name, w->n))
		w->leaf = leaf;
}

static void check_params(const struct command *c, const struct vt_json *params, const char *shown,
	const char *pointer)
{
	struct vt_findings *findings = c->f;
	for (size_t i = 0; i < params->n; i++) {
		const struct vt_json *param = entry(vt_json_get(c->table, "params"), params->key[i],
					     strlen(params->key[i])),
				     *v = params->item[i];
		char number[32] = "", *why = NULL;
		const char *near = nearest(c->table, params->key[i]);
		if (!param)
			ERROR(pointer, "%s: /params/%s: %s has no such param; %s%s", shown,
				params->key[i], c->stage, near ? "write " : "remove it",
				near ? near : "");
		if (v->type == VT_JSON_INT || v->type == VT_JSON_REAL)
			vt_json_real_text(number, v->real);
		if (param && (v->type == VT_JSON_STRING || *number))
			why = value_error(param, *number ? number : v->string);
		if (why)
			ERROR(pointer, "%s: /params/%s: %s: %s", shown, params->key[i],
				*number ? number : v->string, why);
		free(why);
	}
}

/* /pfs/<input>/<file> where the input's repo has a default: the file is at hand. */
static void check_recipe(const struct command *c, const struct vt_spec *spec, const char *word,
	const char *pointer)
{
	struct finding_leaf w = { word + 5, 0, NULL };
	if (strncmp(word, "/pfs/", 5) || !strchr(word + 5, '/'))
		return;
	w.n = strcspn(word + 5, "/");
	vt_input_leaves(c->p->input, find_leaf, &w);
	char *key = w.leaf ? vt_asprintf("voxtrail/repo.%s", w.leaf->repo) : NULL;
	const char *dir = key ? vt_pipeline_annotation(c->p, key) : NULL;
	free(key);
	if (!dir)
		return;
	struct vt_findings *findings = c->f;
	struct vt_json *j = NULL;
	struct vt_err why = VT_ERR_INIT;
	char *base = vt_path_join(spec->dir, dir),
	     *path = vt_asprintf("%s%s", base, word + 5 + w.n),
	     *shown = vt_asprintf("%s%s", dir, word + 5 + w.n);
	if (!vt_fs_is_dir(base))
		;
	else if (!vt_fs_exists(path))
		ERROR(pointer, "%s does not exist beside the spec; write {\"params\": {}} there",
			shown);
	else if (vt_json_read(&j, path, &why))
		ERROR(pointer, "%s", why.text);
	else if (vt_json_get(j, "params"))
		check_params(c, vt_json_get(j, "params"), shown, pointer);
	vt_json_free(j);
	free(base);
	free(path);
	free(shown);
}

static void check_command(const struct command *c, const struct vt_spec *spec,
	const struct vt_strs *words, const struct vt_strs *pointers)
{
	for (size_t i = 1; i < words->n; i++) {
		const char *next = i + 1 < words->n && strncmp(words->v[i + 1], "--", 2)
			? words->v[i + 1]
			: NULL;
		if (!strncmp(words->v[i], "--", 2) && words->v[i][2])
			check_option(c, words->v[i], next, pointers->v[i]);
		if (next && !strcmp(words->v[i], "--recipe"))
			check_recipe(c, spec, next, pointers->v[i + 1]);
	}
	check_required(c, words, pointers->v[0]);
	check_device(c, words, pointers->v[0]);
}

/* --- where commands stand ------------------------------------------------ */

struct line {
	const struct vt_spec *s;
	const struct vt_pipeline *p;
	const char *pointer;
	struct vt_findings *f;
};

/* A stage may stand behind launchers: the first word that names one begins its command. */
static void lint_shell_command(void *ctx, const struct vt_strs *words)
{
	const struct line *l = ctx;

	for (size_t first = 0; first < words->n; first++) {
		const struct vt_json *table = stage_table(words->v[first]);
		const struct vt_strs rest = { words->v + first, words->n - first, 0 };
		struct vt_strs pointers = VT_STRS_INIT;

		if (!table)
			continue;
		struct command c = { l->p, table, words->v[first], l->f };

		for (size_t i = 0; i < rest.n; i++)
			vt_strs_add(&pointers, l->pointer);
		check_command(&c, l->s, &rest, &pointers);
		vt_strs_release(&pointers);
		return;
	}
}

/* The word of cmd at which a stage that lies beside this program begins; cmd->n if none does.  A
 * path that is somebody else's program of that name is not ours. */
static size_t stage_begins(const struct vt_json *cmd)
{
	for (size_t i = 0; cmd && i < cmd->n; i++) {
		const char *word = vt_json_text(cmd->item[i], "");
		const char *slash = strrchr(word, '/');
		char *found = (slash && i) || !*word ? NULL : vt_program_find(word);
		bool ours = found && vt_program_is_stage(found);

		free(found);
		if (ours && stage_table(slash ? slash + 1 : word))
			return i;
	}
	return cmd ? cmd->n : 0;
}

static void lint_script(const struct vt_spec *spec, const struct vt_pipeline *pipeline,
	const char *script, const char *list, size_t i, struct vt_findings *findings)
{
	char *at = vt_asprintf("%s/transform/%s/%zu", pipeline->pointer, list, i);
	struct line l = { spec, pipeline, at, findings };

	vt_shell_commands(script, lint_shell_command, &l);
	free(at);
}

static void lint_program(const struct vt_pipeline *pipeline, const char *program,
	struct vt_findings *findings)
{
	char *at = vt_asprintf("%s/transform/cmd/0", pipeline->pointer);
	char *found = *program ? vt_program_find(program) : NULL;

	if (*program && !found)
		WARN(at,
			"program \"%s\" is neither at that path, nor beside voxtrail, nor on PATH; "
			"it can run in its image only",
			program);
	free(found);
	free(at);
}

void vt_lint_stage(const struct vt_spec *spec, const struct vt_pipeline *pipeline,
	struct vt_findings *findings)
{
	const struct vt_json *cmd = vt_json_get(pipeline->transform, "cmd");
	const struct vt_json *lines = vt_json_get(pipeline->transform, "stdin");
	size_t first = stage_begins(cmd);
	struct vt_strs words = VT_STRS_INIT, pointers = VT_STRS_INIT;

	lint_program(pipeline, vt_json_text(vt_json_at(cmd, 0), ""), findings);
	for (size_t i = first; cmd && i < cmd->n; i++) {
		char *at = vt_asprintf("%s/transform/cmd/%zu", pipeline->pointer, i);

		vt_strs_add(&words, vt_json_text(cmd->item[i], ""));
		vt_strs_add(&pointers, at);
		free(at);
	}
	if (words.n) {
		const char *slash = strrchr(words.v[0], '/');
		const char *name = slash ? slash + 1 : words.v[0];
		struct command c = { pipeline, stage_table(name), name, findings };

		check_command(&c, spec, &words, &pointers);
	}
	for (size_t i = 1; cmd && i < cmd->n && !words.n; i++)
		if (!strcmp(vt_json_text(cmd->item[i - 1], ""), "-c"))
			lint_script(spec, pipeline, vt_json_text(cmd->item[i], ""), "cmd", i,
				findings);
	for (size_t i = 0; !words.n && lines && i < lines->n; i++)
		lint_script(spec, pipeline, vt_json_text(lines->item[i], ""), "stdin", i, findings);
	vt_strs_release(&words);
	vt_strs_release(&pointers);
}
