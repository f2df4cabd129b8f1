#include "pipelines/runner/attempt.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/fs.h"

char *vt_pfs_prefix(const char *text, const char *root)
{
	static const char before[] = " =:'\"\t\n(<>;|&,`", after[] = "/ =:'\"\t\n)<>;|&,`";
	struct vt_buf b = VT_BUF_INIT;
	vt_buf_str(&b, "");
	vt_buf_reserve(&b, 1);
	for (const char *p = text; *p; p++) {
		bool begins = p == text || strchr(before, p[-1]);
		if (begins && !strncmp(p, "/pfs", 4) && (!p[4] || strchr(after, p[4]))) {
			vt_buf_str(&b, root);
			p += 3;
		} else {
			vt_buf_char(&b, *p);
		}
	}
	return vt_buf_detach(&b);
}

/* --- the view ------------------------------------------------------------------------------------------------------- */

static int place(const struct vt_attempt_of *of, const char *root, const struct vt_entry *e, bool empty, struct vt_err *err)
{
	char *to = vt_asprintf("%s%s", root, e->path), *dir = vt_xstrndup(to, (size_t)(strrchr(to, '/') - to));
	if (vt_fs_exists(to) || vt_fs_mkdirs(dir, err))
		;
	else if (empty)
		vt_fs_write_quick(to, "", 0, 0444, err);
	else
		vt_depot_place(of->depot, &e->hash, to, err);
	free(to);
	free(dir);
	return err->code;
}

/* The lineage records of the datum that wrote e lie beside its files, as they did in that datum's own output. */
static int place_lineage(const struct vt_attempt_of *of, const char *root, const struct vt_hash *origin, struct vt_err *err)
{
	struct vt_result r;
	if (vt_depot_result(of->depot, origin, &r, err))
		return err->code;
	for (size_t i = 0; !err->code && i < r.lineage.n; i++)
		place(of, root, &r.lineage.v[i], false, err);
	vt_result_release(&r);
	return err->code;
}

/* The entry and, for a directory, all that follows it in the listing and lies below it. */
static int place_input(const struct vt_attempt_of *of, const char *root, const struct vt_datum_file *f, struct vt_err *err)
{
	static const struct vt_hash none;
	struct vt_hash last = none;
	if (vt_fs_mkdirs(root, err) || !f->entry)
		return err->code;
	size_t n = strlen(f->entry->path);
	uint64_t left = f->entry->dir ? f->entry->size : 1;
	for (const struct vt_entry *e = f->entry; left && !err->code; e++) {
		if (e->dir)
			continue;
		if (f->entry->dir && strncmp(e->path, f->entry->path, n))
			break;
		left--;
		if (place(of, root, e, f->in->empty_files, err))
			break;
		if (memcmp(&e->origin, &last, sizeof last) && memcmp(&e->origin, &none, sizeof none)) {
			last = e->origin;
			place_lineage(of, root, &last, err);
		}
	}
	return err->code;
}

static int link_into(const char *dir, const char *name, const char *target, struct vt_err *err)
{
	char *path = vt_asprintf("%s/pfs/%s", dir, name);
	if (symlink(target, path) && errno != EEXIST)
		vt_err_errno(err, VT_ECANTCREAT, "%s", path);
	free(path);
	return err->code;
}

int vt_attempt_view(struct vt_attempt *a, const struct vt_attempt_of *of, const char *dir, struct vt_err *err)
{
	*a = (struct vt_attempt){ vt_xstrdup(dir), vt_path_join(dir, "out"), vt_path_join(dir, "log"), 0 };
	char *pfs = vt_path_join(dir, "pfs");
	if (!vt_fs_mkdirs(a->out, err) && !vt_fs_mkdirs(pfs, err))
		link_into(dir, "out", a->out, err);
	free(pfs);
	for (size_t i = 0; !err->code && i < of->datum->n; i++) {
		const struct vt_datum_file *f = &of->datum->file[i];
		char *root = vt_asprintf("%s/in/%s", dir, f->in->name);
		if (!place_input(of, root, f, err))
			link_into(dir, f->in->name, root, err);
		free(root);
	}
	return err->code;
}

static int check_entry(void *ctx, const char *relative, char type, struct vt_err *err)
{
	const struct vt_attempt *a = ctx;
	struct stat st;
	if (type != 'f')
		return 0;
	char *path = vt_asprintf("%s/in/%s", a->dir, relative);
	/* Only a chmod can have opened the object for writing; one that set the mode back would still move ctime, which
	 * linking moves too.  `voxtrail verify` compares bytes. */
	bool opened = !stat(path, &st) && st.st_mode & 0222;
	free(path);
	return opened ? vt_err_set(err, VT_EINTEGRITY, "input modified: %s", relative) : 0;
}

int vt_attempt_check_inputs(const struct vt_attempt *a, const struct vt_attempt_of *of, struct vt_err *err)
{
	char *in = vt_path_join(a->dir, "in");
	(void)of;
	if (vt_fs_is_dir(in))
		vt_fs_walk(in, check_entry, (void *)(uintptr_t)a, err);
	free(in);
	return err->code;
}

/* --- the environment ------------------------------------------------------------------------------------------------ */

static void set(struct vt_strs *env, const char *name, const char *value)
{
	size_t n = strlen(name);
	char *text = vt_asprintf("%s=%s", name, value);
	for (size_t i = 0; i < env->n; i++)
		if (!strncmp(env->v[i], name, n) && env->v[i][n] == '=') {
			free(env->v[i]);
			env->v[i] = text;
			return;
		}
	vt_strs_add(env, text);
	free(text);
}

static void inherit(struct vt_strs *env)
{
	static const char *const names[] = { "PATH", "HOME", "TMPDIR", "TZ", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "VOXTRAIL_THREADS",
					     "ASAN_OPTIONS", "UBSAN_OPTIONS" };
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (getenv(names[i]))
			set(env, names[i], getenv(names[i]));
	for (char **e = environ; *e; e++)
		if (!strncmp(*e, "CUDA_", 5))
			vt_strs_add(env, *e);
}

static void input_variables(struct vt_strs *env, const struct vt_attempt_of *of, const char *root)
{
	for (size_t i = 0; i < of->datum->n; i++) {
		const struct vt_datum_file *f = &of->datum->file[i];
		char hex[65] = "", *name = NULL, *path = vt_asprintf("%s/%s%s", root, f->in->name, f->entry ? f->entry->path : "/");
		struct vt_head head;
		struct vt_err none = VT_ERR_INIT;
		size_t n = strlen(path);
		if (path[n - 1] == '/')
			path[n - 1] = 0;
		set(env, f->in->name, path);
		if (!vt_depot_head(of->depot, f->in->repo, &head, &none)) {
			vt_hash_hex(hex, &head.commit);
			hex[32] = 0;
			vt_head_release(&head);
		}
		set(env, name = vt_asprintf("%s_COMMIT", f->in->name), hex);
		free(name);
		if (f->join_on && *f->join_on) {
			set(env, name = vt_asprintf("PACH_DATUM_%s_JOIN_ON", f->in->name), f->join_on);
			free(name);
		}
		if (f->group_by && *f->group_by) {
			set(env, name = vt_asprintf("PACH_DATUM_%s_GROUP_BY", f->in->name), f->group_by);
			free(name);
		}
		free(path);
	}
}

static void environment(struct vt_strs *env, const struct vt_attempt_of *of, const char *root)
{
	const struct vt_json *own = vt_json_get(of->pipeline->transform, "env");
	inherit(env);
	for (size_t i = 0; own && i < own->n; i++) {
		char *value = vt_pfs_prefix(vt_json_text(own->item[i], ""), root);
		set(env, own->key[i], value);
		free(value);
	}
	input_variables(env, of, root);
	set(env, "PACH_DATUM_ID", of->datum->id);
	set(env, "PACH_JOB_ID", of->job);
	set(env, "PACH_OUTPUT_COMMIT_ID", of->job);
	set(env, "PPS_PIPELINE_NAME", of->pipeline->name);
	set(env, "PPS_PROJECT_NAME", of->pipeline->project);
	set(env, "PPS_SPEC_COMMIT", of->job);
	set(env, "PFS_ROOT", root);
	set(env, "VOXTRAIL_LOCAL", "1");
	set(env, "VOXTRAIL_SCRATCH", of->scratch);
	if (of->gpu >= 0) {
		char *device = vt_asprintf("%lld", of->gpu);
		set(env, "CUDA_VISIBLE_DEVICES", device);
		free(device);
	}
	vt_strs_add(env, "");
	free(env->v[--env->n]);
	env->v[env->n] = NULL;
}

/* --- the process ---------------------------------------------------------------------------------------------------- */

struct program {
	char *path;
	struct vt_strs argv, env;
	char *stdin_path, *cwd, *log;
	bool terminal;
};

static int write_stdin(struct program *g, const struct vt_attempt *a, const struct vt_json *lines, const char *root, struct vt_err *err)
{
	struct vt_buf b = VT_BUF_INIT;
	if (!lines || !lines->n)
		return 0;
	for (size_t i = 0; i < lines->n; i++) {
		char *line = vt_pfs_prefix(vt_json_text(lines->item[i], ""), root);
		vt_buf_printf(&b, "%s\n", line);
		free(line);
	}
	g->stdin_path = vt_path_join(a->dir, "stdin");
	vt_fs_write_quick(g->stdin_path, b.data, b.len, 0600, err);
	vt_buf_release(&b);
	return err->code;
}

static void child(const struct program *g)
{
	if (!g->terminal) {
		setpgid(0, 0);
		prctl(PR_SET_PDEATHSIG, SIGKILL);      /* a killed runner takes its stages with it */
		int in = open(g->stdin_path ? g->stdin_path : "/dev/null", O_RDONLY);
		int log = open(g->log, O_WRONLY | O_CREAT | O_APPEND, 0644);
		if (in < 0 || log < 0 || dup2(in, 0) < 0 || dup2(log, 1) < 0 || dup2(log, 2) < 0)
			_exit(VT_EIO);
	}
	sigset_t all;
	sigemptyset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	if (chdir(g->cwd))
		_exit(VT_EIO);
	execve(g->path, g->argv.v, g->env.v);
	_exit(127);
}

static void program_release(struct program *g)
{
	vt_strs_release(&g->argv);
	vt_strs_release(&g->env);
	free(g->path);
	free(g->stdin_path);
}

int vt_attempt_start(struct vt_attempt *a, const struct vt_attempt_of *of, enum vt_attempt_program program, struct vt_err *err)
{
	const struct vt_json *t = of->pipeline->transform;
	const struct vt_json *cmd = vt_json_get(t, program == VT_ATTEMPT_ERR_CMD ? "errCmd" : "cmd");
	struct program g = { .terminal = program == VT_ATTEMPT_SHELL, .log = a->log };
	char *root = vt_path_join(a->dir, "pfs");
	const char *dir = vt_json_text(vt_json_get(t, "workingDir"), "");
	g.cwd = *dir && vt_fs_is_dir(dir) ? (char *)(uintptr_t)dir : a->dir;
	if (program == VT_ATTEMPT_SHELL) {
		g.path = vt_xstrdup(getenv("SHELL") && *getenv("SHELL") ? getenv("SHELL") : "/bin/sh");
		vt_strs_add(&g.argv, g.path);
	} else {
		g.path = vt_program_find(vt_json_text(vt_json_at(cmd, 0), ""));
		for (size_t i = 0; cmd && i < cmd->n; i++) {
			char *word = vt_pfs_prefix(vt_json_text(cmd->item[i], ""), root);
			vt_strs_add(&g.argv, word);
			free(word);
		}
	}
	vt_strs_add(&g.argv, "");
	free(g.argv.v[--g.argv.n]);
	g.argv.v[g.argv.n] = NULL;
	environment(&g.env, of, root);
	if (!g.path)
		vt_err_set(err, VT_ENOINPUT, "pipeline %s: program \"%s\" is not here", of->pipeline->name, vt_json_text(vt_json_at(cmd, 0), ""));
	else if (!write_stdin(&g, a, vt_json_get(t, program == VT_ATTEMPT_ERR_CMD ? "errStdin" : "stdin"), root, err)) {
		a->pid = fork();
		if (a->pid == 0)
			child(&g);
		if (a->pid < 0)
			vt_err_errno(err, VT_ENOMEM, "fork");
		else if (!g.terminal)
			setpgid(a->pid, a->pid);       /* in both processes: neither may act before it holds */
	}
	program_release(&g);
	free(root);
	return err->code;
}

void vt_attempt_kill(const struct vt_attempt *a)
{
	if (a->pid > 0)
		kill(-a->pid, SIGKILL);
}

void vt_attempt_remove(struct vt_attempt *a)
{
	struct vt_err ignored = VT_ERR_INIT;
	if (a->dir)
		vt_fs_remove_tree(a->dir, &ignored);
	free(a->dir);
	free(a->out);
	free(a->log);
	*a = (struct vt_attempt){ NULL, NULL, NULL, 0 };
}
