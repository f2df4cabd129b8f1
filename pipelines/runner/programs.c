/* Finding what a command consists of.  A command is words; `follow` looks at the first, adds
 * it, and goes on with the words that it starts in its turn: those of a launcher, the script of
 * a shell.  Rather a file too many than one too few: a superfluous one costs a recomputation
 * when it changes, a missing one a wrong result. */
#include "pipelines/runner/programs.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/fs.h"
#include "common/base/loaded.h"
#include "pipelines/spec/shell.h"

enum { DEPTH = 8 }; /* of scripts that start scripts */

struct finding {
	struct vt_programs *out;
	const struct vt_pipeline *pipeline;
	struct vt_err *err;
	int depth;
	bool is_cmd; /* the words are those of cmd, not of a line of shell */
};

/* --- where programs are -------------------------------------------------- */

static char *own_directory(void)
{
	char path[4096];
	/* voxtrail's own */
	ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);

	path[n > 0 ? n : 0] = 0;
	char *slash = strrchr(path, '/');

	if (slash)
		*slash = 0;
	return vt_xstrdup(path);
}

static char *executable(const char *dir, size_t n, const char *name)
{
	char *path = vt_asprintf("%.*s/%s", (int)n, dir, name);

	if (!access(path, X_OK) && !vt_fs_is_dir(path))
		return path;
	free(path);
	return NULL;
}

char *vt_program_beside(const char *name)
{
	char *dir = own_directory(), *found = executable(dir, strlen(dir), name);

	free(dir);
	return found;
}

char *vt_program_find(const char *name)
{
	const char *slash = strrchr(name, '/'), *base = slash ? slash + 1 : name,
		   *path = getenv("PATH");
	char *found = NULL;

	if (!*base)
		return NULL;
	/* as it stands; then beside voxtrail, where a cluster's image has it elsewhere; then on
	 * PATH */
	if (slash && !access(name, X_OK) && !vt_fs_is_dir(name))
		return vt_xstrdup(name);
	found = vt_program_beside(base);
	for (const char *p = path ? path : "/usr/bin:/bin"; !found && *p;) {
		size_t n = strcspn(p, ":");

		found = executable(p, n, base);
		p += n + (p[n] == ':');
	}
	return found;
}

bool vt_program_is_stage(const char *path)
{
	const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
	char *beside = vt_program_beside(base);
	struct stat a, b;
	/* the very file, not another one of its name */
	bool is = beside && strcmp(base, "voxtrail") && strcmp(base, "make-cohort") &&
		!stat(beside, &a) && !stat(path, &b) && a.st_dev == b.st_dev &&
		a.st_ino == b.st_ino;

	free(beside);
	return is;
}

/* --- what a command consists of ------------------------------------------ */

static void follow(struct finding *finding, const struct vt_strs *words, bool certain);

static bool is_one_of(const char *name, const char *const *list, size_t n)
{
	const char *slash = strrchr(name, '/'), *base = slash ? slash + 1 : name;

	for (size_t i = 0; i < n; i++)
		if (!strcmp(base, list[i]))
			return true;
	return false;
}

#define IS_ONE_OF(name, list) is_one_of(name, list, sizeof(list) / sizeof *(list))

static bool is_shell(const char *name)
{
	static const char *const shells[] = { "sh", "bash", "dash", "ash", "ksh", "zsh",
		"busybox" };

	return IS_ONE_OF(name, shells);
}

/* Programs that start the one their further words name. */
static bool is_launcher(const char *name)
{
	static const char *const launchers[] = { "env", "nice", "ionice", "chrt", "timeout",
		"nohup", "setsid", "stdbuf", "exec", "command", "builtin", "eval", "time",
		"taskset", "numactl", "unshare", "nsenter", "chroot", "sudo", "runuser", "setpriv",
		"srun", "sbatch", "salloc", "mpirun", "mpiexec", "orterun", "prun", "xargs",
		"parallel", "find", "flock", "strace", "ltrace", "perf", "valgrind", "catchsegv",
		"torchrun", "accelerate", "deepspeed", "conda", "micromamba", "mamba",
		"singularity", "apptainer", "systemd-run", "choom", "prlimit", "script", "tini",
		"dumb-init", "gosu", "ssh" };

	return IS_ONE_OF(name, launchers);
}

/* Languages whose scripts import files that no word names. */
static bool is_importing(const char *name)
{
	static const char *const languages[] = { "perl", "ruby", "Rscript", "node", "julia",
		"octave", "lua", "java" };
	const char *slash = strrchr(name, '/'), *base = slash ? slash + 1 : name;

	return !strncmp(base, "python", 6) || IS_ONE_OF(name, languages);
}

/* What is found by the working directory, PATH, or a value that only a shell knows. */
static bool is_sourcing_unseen(const struct vt_strs *words)
{
	return words->n > 1 && (!strcmp(words->v[0], ".") || !strcmp(words->v[0], "source")) &&
		(words->v[1][0] != '/' || strpbrk(words->v[1], "$*?`"));
}

/* Programs that run the file their first further words name. */
static bool is_interpreter(const char *name)
{
	static const char *const interpreters[] = { "perl", "ruby", "Rscript", "node", "java",
		"julia", "octave", "lua", "awk", "gawk", "mawk", "sed", "make", ".", "source" };
	const char *slash = strrchr(name, '/'), *base = slash ? slash + 1 : name;

	return !strncmp(base, "python", 6) || is_shell(name) || is_launcher(name) ||
		IS_ONE_OF(name, interpreters);
}

static bool is_file(const char *path)
{
	struct stat st;

	return !stat(path, &st) && S_ISREG(st.st_mode);
}

/* Data of the datum, and files that a kernel makes up. */
static bool is_outside(const char *path)
/* /pfs is the datum's input, which the key has already */
{
	static const char *const roots[] = { "/pfs", "/proc", "/sys", "/dev" };

	for (size_t i = 0; i < sizeof roots / sizeof *roots; i++)
		if (vt_path_is_within(path, roots[i]))
			return true;
	return false;
}

static bool known(const struct vt_programs *programs, const char *path)
{
	for (size_t i = 0; i < programs->n; i++)
		if (!strcmp(programs->v[i].path, path))
			return true;
	return false;
}

static void follow_command(void *ctx, const struct vt_strs *words)
{
	follow(ctx, words, false);
}

static void follow_script(struct finding *finding, const char *text)
{
	struct finding inner = *finding;

	/* A cycle of scripts ends at DEPTH, if known() has not ended it before. */
	inner.depth++;
	inner.is_cmd = false;
	if (inner.depth < DEPTH && !finding->err->code)
		vt_shell_commands(text, follow_command, &inner);
}

/* "#!/usr/bin/env -S python3 -u": the words after #!. */
static void follow_first_line(struct finding *finding, const char *text, bool *shell)
{
	struct vt_strs words = VT_STRS_INIT;
	const char *p = text + 2, *end = text + strcspn(text, "\n");

	while (p < end && words.n < 16) {
		p += strspn(p, " \t\r");
		size_t n = strcspn(p, " \t\r\n");

		if (p >= end || !n)
			break;
		char *word = vt_xstrndup(p, n);

		vt_strs_add(&words, word);
		*shell |= is_shell(word);
		free(word);
		p += n;
	}
	struct finding inner = *finding;

	inner.depth++;
	inner.is_cmd = false;
	if (words.n && inner.depth < DEPTH)
		follow(&inner, &words, false);
	vt_strs_release(&words);
}

/* Reads the file once: its digest, and what it starts if it is a script. */
static void add_file(struct finding *finding, const char *name, const char *path, bool sourced)
{
	struct vt_programs *p = finding->out;
	struct vt_program one = { .name = NULL };
	uint64_t size;
	char *real;

	if (finding->err->code || is_outside(path) || !(real = vt_fs_realpath(path, finding->err)))
		return;
	/* each file once, however often it is named */
	if (known(p, real)) {
		free(real);
		return;
	}
	/* stat before reading: a change in between shows in vt_programs_changed() */
	if (stat(real, &one.seen) || vt_digest_file(&one.digest, &size, real, finding->err)) {
		free(real);
		return;
	}
	one.name = vt_xstrdup(name);
	one.path = real;
	p->v = vt_xrealloc(p->v, (p->n + 1) * sizeof *p->v);
	p->v[p->n++] = one;

	struct vt_buf head = VT_BUF_INIT;
	struct vt_err none = VT_ERR_INIT;
	bool shell = sourced;

	/* no script is larger */
	if (one.seen.st_size < 4 << 20 && !vt_fs_read(&head, path, 4u << 20, &none) &&
		head.len > 2) {
		bool script = !memcmp(head.data, "#!", 2);

		if (script)
			follow_first_line(finding, head.data, &shell);
		/* NULs: a binary after all */
		if (shell && !memchr(head.data, 0, head.len))
			follow_script(finding, head.data);
	}
	vt_buf_release(&head);
}

/* The program that word i names, if the one in front of it may start it: a launcher starts any,
 * and a stage of ours counts behind every program, whatever launcher that may be. */
static char *started(const struct vt_strs *words, size_t i)
{
	const char *word = words->v[i];
	char *found = NULL;

	/* options, assignments, patterns, code: not the name of a program */
	if (!*word || *word == '-' || strpbrk(word, "=$ \n") || is_outside(word))
		return NULL;
	if (is_launcher(words->v[0]))
		return vt_program_find(word);
	found = strchr(word, '/') ? NULL : vt_program_beside(word);
	if (found && vt_program_is_stage(found))
		return found;
	free(found);
	return NULL;
}

/* The words behind a program's name: what it starts, and files it is told to run. */
static void follow_words(struct finding *finding, const struct vt_strs *words, bool certain)
{
	const char *program = words->v[0];
	bool runs = is_interpreter(program), shell = is_shell(program), script_next = false;
	bool sources = shell || !strcmp(program, ".") || !strcmp(program, "source");
	bool followed = false;

	/* "sh -c SCRIPT": the word behind -c is a script */
	for (size_t i = 1; i < words->n && !finding->err->code; i++) {
		const char *word = words->v[i];
		char *found = script_next ? NULL : started(words, i);

		if (script_next) {
			follow_script(finding, word);
			/* its further words are followed in turn, from here on */
		} else if (found && !followed) {
			const struct vt_strs rest = { words->v + i, words->n - i, 0 };

			follow(finding, &rest, certain);
			followed = true;
		} else if (found) {
			add_file(finding, word, found, false);
			/* a file that a program of unknown kind is told of counts in cmd alone */
		} else if (*word == '/' && is_file(word) && (finding->is_cmd || runs)) {
			add_file(finding, word, word, sources);
		}
		/* also -ec, -lc */
		script_next = shell && !script_next && word[0] == '-' && word[1] != '-' &&
			strchr(word, 'c');
		free(found);
	}
}

/* certain: these words run whenever the command runs. */
static void follow(struct finding *finding, const struct vt_strs *words, bool certain)
{
	const char *program = words->n ? words->v[0] : "";
	/* a program whose name only a shell knows cannot be found */
	char *path = *program && *program != '$' ? vt_program_find(program) : NULL;

	if (path)
		add_file(finding, program, path, false);
	/* open: what it starts cannot be told; the first reason is enough */
	if (!finding->out->open && words->n && is_sourcing_unseen(words))
		finding->out->open = vt_asprintf("`%s %s`", program, words->v[1]);
	else if (!finding->out->open && path && is_importing(program))
		finding->out->open = vt_xstrdup(program);
	if (path && certain && !finding->out->stage && vt_program_is_stage(path)) {
		const char *slash = strrchr(path, '/');

		finding->out->stage = vt_xstrdup(slash ? slash + 1 : path);
	}
	free(path);
	if (words->n)
		follow_words(finding, words, certain);
}

/* --- one transform ------------------------------------------------------- */

static int follow_list(struct finding *finding, const char *cmd, const char *input)
{
	const struct vt_json *list = vt_json_get(finding->pipeline->transform, cmd),
			     *lines = vt_json_get(finding->pipeline->transform, input);
	const char *program = vt_json_text(vt_json_at(list, 0), "");
	struct vt_strs words = VT_STRS_INIT;
	struct vt_buf text = VT_BUF_INIT;
	char *path = vt_program_find(program);

	if (!path)
		vt_err_set(finding->err, VT_ENOINPUT,
			"program \"%s\" is neither at that path, nor beside voxtrail, nor on PATH",
			program);
	free(path);
	for (size_t i = 0; i < list->n; i++)
		vt_strs_add(&words, vt_json_text(list->item[i], ""));
	/* errCmd runs only after a failure: it is not certain */
	finding->is_cmd = true;
	if (!finding->err->code)
		follow(finding, &words, !strcmp(cmd, "cmd"));
	for (size_t i = 0; lines && i < lines->n; i++)
		vt_buf_printf(&text, "%s\n", vt_json_text(lines->item[i], ""));
	if (text.len)
		follow_script(finding, text.data);
	vt_strs_release(&words);
	vt_buf_release(&text);
	return finding->err->code;
}

static bool runs_a_stage(const struct vt_programs *programs)
{
	for (size_t i = 0; i < programs->n; i++)
		if (vt_program_is_stage(programs->v[i].path))
			return true;
	return false;
}

/* A stage of ours computes with the plugin where the spec gives it a GPU. */
static void add_plugin(struct finding *finding)
{
	const char *named = getenv("VOXTRAIL_PLUGIN");
	char *dir = own_directory();
	/* where the plugin is looked for, see backend.h */
	char *path =
		named && *named ? vt_xstrdup(named) : vt_asprintf("%s/libvoxtrail-cuda.so", dir);

	if (!vt_fs_exists(path)) {
		free(path);
		path = vt_asprintf("%s/../lib/voxtrail/libvoxtrail-cuda.so", dir);
	}
	if (finding->pipeline->gpus && runs_a_stage(finding->out) && is_file(path))
		add_file(finding, "libvoxtrail-cuda.so", path, false);
	free(path);
	free(dir);
}

/* Libraries that the environment puts in the place of the system's do so in a stage of ours as they
 * do here: the runner passes LD_LIBRARY_PATH on. */
static void add_swapped(struct finding *finding)
{
	struct vt_loaded l;
	bool ours = runs_a_stage(finding->out);

	vt_loaded_list(&l);
	for (size_t i = 0; ours && i < l.n; i++)
		/* swapped: not the system's own */
		if (l.v[i].swapped)
			add_file(finding, vt_path_name(l.v[i].path), l.v[i].path, false);
	vt_loaded_release(&l);
}

int vt_programs_find(struct vt_programs *out, const struct vt_pipeline *pipeline,
	struct vt_err *err)
{
	struct finding f = { out, pipeline, err, 0, true };

	*out = (struct vt_programs){ .v = NULL };
	if (vt_json_get(pipeline->transform, "cmd"))
		follow_list(&f, "cmd", "stdin");
	if (!err->code && vt_json_get(pipeline->transform, "errCmd"))
		follow_list(&f, "errCmd", "errStdin");
	if (!err->code)
		add_plugin(&f);
	if (!err->code)
		add_swapped(&f);
	if (err->code)
		vt_programs_release(out);
	return err->code ? vt_err_prefix(err, "pipeline %s", pipeline->name) : 0;
}

void vt_programs_release(struct vt_programs *programs)
{
	for (size_t i = 0; i < programs->n; i++) {
		free(programs->v[i].name);
		free(programs->v[i].path);
	}
	free(programs->v);
	free(programs->stage);
	free(programs->open);
	*programs = (struct vt_programs){ .v = NULL };
}

static bool same_file(const struct stat *one, const struct stat *other)
{
	/* by what changes when it is written to or replaced */
	return one->st_dev == other->st_dev && one->st_ino == other->st_ino &&
		one->st_size == other->st_size && one->st_mtim.tv_sec == other->st_mtim.tv_sec &&
		one->st_mtim.tv_nsec == other->st_mtim.tv_nsec &&
		one->st_ctim.tv_sec == other->st_ctim.tv_sec &&
		one->st_ctim.tv_nsec == other->st_ctim.tv_nsec;
}

int vt_programs_changed(const struct vt_programs *programs, struct vt_err *err)
{
	for (size_t i = 0; i < programs->n; i++) {
		struct vt_err none = VT_ERR_INIT;
		struct vt_digest now;
		struct stat st;
		uint64_t size;

		/* unchanged by its stamp: not read */
		if (!stat(programs->v[i].path, &st) && same_file(&st, &programs->v[i].seen))
			continue;
		if (vt_digest_file(&now, &size, programs->v[i].path, &none) ||
			!vt_digest_equal(&now, &programs->v[i].digest))
			return vt_err_set(err, VT_EDEVICE,
				"%s changed while the run was using it; run again, and the "
				"datums are computed with what is there then",
				programs->v[i].path);
	}
	return 0;
}
