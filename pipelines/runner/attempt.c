/* One try of a datum: its directory, its view of /pfs, its environment and its process.
 *
 * The directory belongs to the attempt and is removed with it. Inputs are links or copies that the
 * store gives out after it examined the objects. Secrets are written below the directory and never
 * into the store. */
#include "pipelines/runner/attempt.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/fs.h"
#include "common/lineage/consent.h"
#include "common/base/log.h"
#include "pipelines/runner/leftover.h"
#include "pipelines/runner/process.h"
#include "pipelines/runner/programs.h"
#include "pipelines/spec/shell.h"

/* --- the view ------------------------------------------------------------ */

/* The files of a view and where below W they stand, gathered so that they are examined together. */
struct view {
	struct vt_place *v; /* file: borrowed from a snapshot's tree; to: owned */
	size_t n, cap;
};

static void add_place(struct view *view, const char *input, const char *path,
	const struct vt_tree_file *file)
{
	if (view->n == view->cap) {
		view->cap = view->cap ? 2 * view->cap : 16;
		view->v = vt_xrealloc(view->v, view->cap * sizeof *view->v);
	}
	view->v[view->n++] = (struct vt_place){ file, vt_asprintf("in/%s/%s", input, path) };
}

static void view_release(struct view *view)
{
	for (size_t i = 0; i < view->n; i++)
		free((char *)(uintptr_t)view->v[i].to);
	free(view->v);
}

static int place_empty(const struct vt_attempt *attempt, const struct vt_datum_file *file,
	const char *path, struct vt_err *err)
{
	char *to = vt_asprintf("%s/in/%s/%s", attempt->dir, file->in->name, path),
	     *dir = vt_xstrndup(to, (size_t)(strrchr(to, '/') - to));
	/* A file that several inputs' entries name is placed once. */
	if (!vt_fs_exists(to) && !vt_fs_mkdirs(dir, err))
		vt_fs_write_quick(to, "", 0, 0444, err);
	free(to);
	free(dir);
	return err->code;
}

/* The entry's files, and the lineage files of the results that wrote them, which lie beside them
 * as they did in the results' own outputs. */
static int add_input(struct view *view, const struct vt_attempt *attempt,
	const struct vt_attempt_of *of, const struct vt_datum_file *datum_file, struct vt_err *err)
{
	struct vt_store *store = vt_runner_store(of->runner);
	const struct vt_tree *last = NULL, *lineage;

	for (size_t i = 0; datum_file->entry && i < datum_file->entry->n && !err->code; i++) {
		const struct vt_tree_file *file =
			&datum_file->seen->tree->file[datum_file->entry->first + i];
		/* spec's emptyFiles: the names alone are of interest */
		if (datum_file->in->empty_files)
			place_empty(attempt, datum_file, file->path, err);
		else
			add_place(view, datum_file->in->name, file->path, file);
		if (err->code || vt_snapshot_lineage(datum_file->seen, store, file, &lineage, err))
			break;
		/* neighbors often come from one result: its lineage once */
		for (size_t k = 0; lineage && lineage != last && k < lineage->n_files; k++)
			add_place(view, datum_file->in->name, lineage->file[k].path,
				&lineage->file[k]);
		last = lineage ? lineage : last;
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

static int make_dir(const char *dir, const char *name, struct vt_err *err)
{
	char *path = vt_asprintf("%s/%s", dir, name);
	if (mkdir(path, 0755) && errno != EEXIST)
		vt_err_errno(err, VT_ECANTCREAT, "%s: cannot make the directory", path);
	free(path);
	return err->code;
}

int vt_attempt_view(struct vt_attempt *attempt, const struct vt_attempt_of *of, const char *dir,
	struct vt_err *err)
{
	struct view view = { NULL, 0, 0 };
	/* dir, out and log: owned by the attempt until vt_attempt_remove() or _give_up() */
	*attempt = (struct vt_attempt){ vt_xstrdup(dir), vt_path_join(dir, "out"),
		vt_path_join(dir, "log"), 0, NULL };
	if (!vt_fs_mkdirs(dir, err) && !make_dir(dir, "out", err) && !make_dir(dir, "pfs", err) &&
		!make_dir(dir, "in", err))
		link_into(dir, "out", attempt->out, err);
	for (size_t i = 0; !err->code && i < of->datum->n; i++) {
		const struct vt_datum_file *f = &of->datum->file[i];
		char *name = vt_asprintf("in/%s", f->in->name), *root = vt_path_join(dir, name);
		if (!make_dir(dir, name, err) && !link_into(dir, f->in->name, root, err))
			add_input(&view, attempt, of, f, err);
		free(name);
		free(root);
	}
	if (!err->code && view.n)
		vt_store_place(vt_runner_store(of->runner), dir, view.v, view.n, err);
	view_release(&view);
	return err->code;
}

int vt_attempt_check_inputs(const struct vt_attempt_of *of, struct vt_err *err)
{
	struct vt_store *store = vt_runner_store(of->runner);
	for (size_t i = 0; i < of->datum->n && !err->code; i++) {
		const struct vt_datum_file *f = &of->datum->file[i];
		const struct vt_tree_file *touched;
		/* no entry: the input is empty; empty files are not the store's */
		if (!f->entry || f->in->empty_files ||
			vt_store_touched(store, &f->seen->tree->file[f->entry->first], f->entry->n,
				&touched, err) ||
			!touched)
			continue;
		vt_err_set(err, VT_EINTEGRITY, "input modified: %s/%s", f->in->name, touched->path);
	}
	return err->code;
}

/* --- the environment ----------------------------------------------------- */

static void set(struct vt_strs *env, const char *name, const char *value)
{
	size_t n = strlen(name);
	char *text = vt_asprintf("%s=%s", name, value);
	/* a later value takes an earlier one's place */
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
	/* Only what a program needs to run at all: what the environment holds beside it must not
	 * change results unseen. */
	static const char *const names[] = { "PATH", "HOME", "TMPDIR", "TZ", "LANG", "LC_ALL",
		"LD_LIBRARY_PATH", "VOXTRAIL_THREADS", "ASAN_OPTIONS", "UBSAN_OPTIONS" };
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (getenv(names[i]))
			set(env, names[i], getenv(names[i]));
	/* which GPU is seen is the machine's business */
	for (char **e = environ; *e; e++)
		if (!strncmp(*e, "CUDA_", 5))
			vt_strs_add(env, *e);
}

static void input_variables(struct vt_strs *env, const struct vt_attempt_of *of, const char *root)
{
	for (size_t i = 0; i < of->datum->n; i++) {
		const struct vt_datum_file *f = &of->datum->file[i];
		/* the path that the datum stands for, without the slash of a directory */
		char *name = NULL,
		     *path = vt_asprintf("%s/%s%s", root, f->in->name,
			     f->entry ? f->entry->path : "/");
		size_t n = strlen(path);
		if (path[n - 1] == '/')
			path[n - 1] = 0;
		set(env, f->in->name, path);
		set(env, name = vt_asprintf("%s_COMMIT", f->in->name),
			f->seen ? f->seen->commit.id : "");
		free(name);
		if (f->join_on && *f->join_on) {
			set(env, name = vt_asprintf("PACH_DATUM_%s_JOIN_ON", f->in->name),
				f->join_on);
			free(name);
		}
		if (f->group_by && *f->group_by) {
			set(env, name = vt_asprintf("PACH_DATUM_%s_GROUP_BY", f->in->name),
				f->group_by);
			free(name);
		}
		free(path);
	}
}

static void secret_variables(struct vt_strs *env, const struct vt_attempt_of *of)
{
	const struct vt_json *list = vt_json_get(of->pipeline->transform, "secrets");
	for (size_t i = 0; list && i < list->n; i++) {
		const char *name = vt_json_text(vt_json_get(list->item[i], "envVar"), NULL);
		/* what vt_attempt_possible() found to be there */
		const struct vt_json *secret = vt_json_get(of->secrets,
			vt_json_text(vt_json_get(list->item[i], "name"), ""));
		if (name)
			set(env, name,
				vt_json_text(vt_json_get(secret,
						     vt_json_text(vt_json_get(list->item[i], "key"),
							     "")),
					""));
	}
}

/* The stages refuse the files of subjects who withdrew. */
static void set_consent(struct vt_strs *env, const struct vt_attempt_of *of)
{
	char *path = vt_consent_path(vt_runner_store(of->runner));
	set(env, "VOXTRAIL_CONSENT", path);
	free(path);
}

static void environment(struct vt_strs *env, const struct vt_attempt_of *of, const char *root)
{
	/* The spec's own first: the runner's variables below take the place of equal names. */
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
	set_consent(env, of);
	/* else as the machine has it */
	if (of->gpus) {
		struct vt_buf devices = VT_BUF_INIT;
		for (int g = 0; g < 64; g++) /* bits of a 64-bit mask */
			if (of->gpus >> g & 1)
				vt_buf_printf(&devices, "%s%d", devices.len ? "," : "", g);
		set(env, "CUDA_VISIBLE_DEVICES", devices.data);
		vt_buf_release(&devices);
	}
	secret_variables(env, of);
}

/* --- what only some pipelines ask for: a user, secrets, a working view of /pfs --- */

int vt_view_choose(enum vt_view *out, const char *text, long long jobs, struct vt_err *err)
{
	if (!strcmp(text, "prefix"))
		*out = VT_VIEW_PREFIX;
	else if (!strcmp(text, "auto"))
		*out = vt_process_can_mount() ? VT_VIEW_NAMESPACE : VT_VIEW_PREFIX;
	else if (!strcmp(text, "ns"))
		*out = VT_VIEW_NAMESPACE;
	else if (!strcmp(text, "root"))
		*out = VT_VIEW_ROOT;
	else
		return vt_err_set(err, VT_EUSAGE, "--view %s: write auto, ns, root or prefix",
			text);
	/* asked for by name, so nothing else is taken instead */
	if (*out == VT_VIEW_NAMESPACE && !vt_process_can_mount())
		return vt_err_set(err, VT_EUSAGE,
			"--view ns: this machine lets us make no mount namespace; write "
			"--view prefix");
	if (*out == VT_VIEW_ROOT && (jobs != 1 || !vt_fs_is_dir("/pfs") || access("/pfs", W_OK)))
		return vt_err_set(err, VT_EUSAGE,
			"--view root: needs --jobs 1 and a writable directory /pfs; write "
			"--view prefix");
	return 0;
}

/* As a cluster takes them, each a file's name. */
static bool is_secret_key(const char *key)
{
	size_t n = strlen(key);

	return n && n <= 253 && key[0] != '.' &&
		strspn(key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") ==
		n;
}

static int check_secret(const struct vt_pipeline *pipeline, size_t i, const char *name,
	const struct vt_json *secret, struct vt_err *err)
{
	bool good = is_secret_key(name);

	for (size_t k = 0; k < vt_json_members(secret); k++)
		good = good && is_secret_key(secret->key[k]) && vt_json_text(secret->item[k], NULL);
	return good ? 0
		    : vt_err_set(err, VT_EUSAGE,
			      "%s/transform/secrets/%zu: secret \"%s\": names are letters, digits, "
			      "-, _ and ., values are texts",
			      pipeline->pointer, i, name);
}

int vt_attempt_possible(const struct vt_pipeline *pipeline, const struct vt_json *secrets,
	enum vt_view view, struct vt_err *err)
{
	const struct vt_json *list = vt_json_get(pipeline->transform, "secrets");
	const char *user = vt_json_text(vt_json_get(pipeline->transform, "user"), "");
	uid_t uid;
	gid_t gid;
	for (size_t i = 0; list && i < list->n; i++) {
		const char *name = vt_json_text(vt_json_get(list->item[i], "name"), ""),
			   *key = vt_json_text(vt_json_get(list->item[i], "key"), "");
		const struct vt_json *secret = vt_json_get(secrets, name);
		if (!secret || (*key && !vt_json_get(secret, key)))
			return vt_err_set(err, VT_EUSAGE,
				"%s/transform/secrets/%zu: no secret \"%s\"%s%s; add "
				"{\"%s\": {\"%s\": \"...\"}} to --secrets-file",
				pipeline->pointer, i, name, *key ? " with key " : "", key, name,
				*key ? key : "key");
		if (check_secret(pipeline, i, name, secret, err))
			return err->code;
		if (vt_json_get(list->item[i], "mountPath") && view != VT_VIEW_NAMESPACE)
			return vt_err_set(err, VT_EUSAGE,
				"%s/transform/secrets/%zu/mountPath: needs a mount "
				"namespace; use envVar",
				pipeline->pointer, i);
	}
	/* a user can be changed to by root alone; others run as themselves */
	if (*user && geteuid() == 0 && !vt_process_user(user, &uid, &gid))
		return vt_err_set(err, VT_EUSAGE,
			"%s/transform/user: there is no user \"%s\" here; write a number "
			"such as \"65532\"",
			pipeline->pointer, user);
	return 0;
}

/* A file of the datum's user alone. */
static void write_secret(const char *file, const char *text, const char *user, struct vt_err *err)
{
	uid_t uid;
	gid_t gid;
	if (vt_fs_write_quick(file, text, strlen(text), 0400, err))
		return;
	if (*user && geteuid() == 0 && vt_process_user(user, &uid, &gid) && chown(file, uid, gid))
		vt_err_errno(err, VT_EIO, "%s: cannot give it to user %s", file, user);
}

/* As a cluster mounts it: a directory with one file a key. */
static int secret_mounts(struct vt_mount *mount, size_t *n, const struct vt_attempt *attempt,
	const struct vt_attempt_of *of, struct vt_err *err)
{
	const struct vt_json *list = vt_json_get(of->pipeline->transform, "secrets");
	const char *user = vt_json_text(vt_json_get(of->pipeline->transform, "user"), "");
	for (size_t i = 0; list && i < list->n && !err->code; i++) {
		const char *at = vt_json_text(vt_json_get(list->item[i], "mountPath"), NULL),
			   *name = vt_json_text(vt_json_get(list->item[i], "name"), "");
		const struct vt_json *secret = vt_json_get(of->secrets, name);
		if (!at || of->view != VT_VIEW_NAMESPACE)
			continue;
		char *dir = vt_asprintf("%s/secrets/%s", attempt->dir, name);
		vt_fs_mkdirs(dir, err);
		for (size_t k = 0; secret && k < secret->n && !err->code; k++) {
			char *file = vt_path_join(dir, secret->key[k]);
			write_secret(file, vt_json_text(secret->item[k], ""), user, err);
			free(file);
		}
		/* mount has room for one a secret, and /pfs */
		mount[(*n)++] = (struct vt_mount){ dir, vt_xstrdup(at) };
	}
	return err->code;
}

/* The machine's own /pfs shows this view and no other. */
static int link_root(const struct vt_attempt *attempt, struct vt_err *err)
{
	/* stale links of an earlier datum */
	struct vt_strs names = VT_STRS_INIT;
	char *pfs = vt_path_join(attempt->dir, "pfs");
	if (!vt_fs_list(&names, "/pfs", err))
		for (size_t i = 0; i < names.n; i++) {
			char *old = vt_path_join("/pfs", names.v[i]);
			unlink(old);
			free(old);
		}
	vt_strs_release(&names);
	if (!err->code && !vt_fs_list(&names, pfs, err))
		for (size_t i = 0; i < names.n && !err->code; i++) {
			char *from = vt_path_join(pfs, names.v[i]),
			     *to = vt_path_join("/pfs", names.v[i]);
			if (symlink(from, to))
				vt_err_errno(err, VT_ECANTCREAT, "--view root: %s", to);
			free(from);
			free(to);
		}
	vt_strs_release(&names);
	free(pfs);
	return err->code;
}

/* --- the process --------------------------------------------------------- */

static char *view_root(const struct vt_attempt *attempt, const struct vt_attempt_of *of)
{
	/* the prefix view shows the datum's own directory under its real name */
	return of->view == VT_VIEW_PREFIX ? vt_path_join(attempt->dir, "pfs") : vt_xstrdup("/pfs");
}

static int write_stdin(char **path, const struct vt_attempt *attempt, const struct vt_json *lines,
	const char *root, struct vt_err *err)
{
	struct vt_buf b = VT_BUF_INIT;
	if (!lines || !lines->n)
		return 0;
	for (size_t i = 0; i < lines->n; i++) {
		char *line = vt_pfs_prefix(vt_json_text(lines->item[i], ""), root);
		vt_buf_printf(&b, "%s\n", line);
		free(line);
	}
	*path = vt_path_join(attempt->dir, "stdin");
	vt_fs_write_quick(*path, b.data, b.len, 0644, err);
	vt_buf_release(&b);
	return err->code;
}

static char *words(struct vt_strs *argv, const struct vt_json *cmd, const char *root)
{
	for (size_t i = 0; cmd && i < cmd->n; i++) {
		char *word = vt_pfs_prefix(vt_json_text(cmd->item[i], ""), root);
		vt_strs_add(argv, word);
		free(word);
	}
	/* NULL if it is nowhere on PATH */
	return vt_program_find(vt_json_text(vt_json_at(cmd, 0), ""));
}

/* The datum's files lie in the store: who is not its owner must at least get through to them. */
static int let_through(const struct vt_attempt_of *of, struct vt_err *err)
{
	/* only x: others pass through it, and list nothing */
	const char *store = vt_store_dir(vt_runner_store(of->runner));
	struct stat st;
	if (stat(store, &st) || ((st.st_mode & 0011) != 0011 && chmod(store, st.st_mode | 0011)))
		return vt_err_errno(err, VT_EIO, "%s: cannot open it to the user of the spec",
			store);
	if ((st.st_mode & 0011) != 0011)
		vt_log(VT_LOG_WARN, "store",
			"note=\"others can pass through its directory from now on: the spec runs "
			"as another user\"");
	return 0;
}

/* What the process sees beside its words: mounts, and the user it becomes. */
static int surroundings(struct vt_process *process, struct vt_mount *mount,
	const struct vt_attempt *attempt, const struct vt_attempt_of *of, char **root,
	struct vt_err *err)
{
	const char *user = vt_json_text(vt_json_get(of->pipeline->transform, "user"), "");
	if (*user && geteuid() == 0 && vt_process_user(user, &process->uid, &process->gid)) {
		process->change_user = true;
		if (let_through(of, err))
			return err->code;
		/* what it writes to; the inputs stay root's */
		if (chown(attempt->out, process->uid, process->gid) ||
			chown(attempt->dir, process->uid, process->gid))
			return vt_err_errno(err, VT_EIO, "%s", attempt->out);
	}
	if (of->view == VT_VIEW_ROOT)
		return link_root(attempt, err);
	if (of->view != VT_VIEW_NAMESPACE)
		return 0;
	mount[process->n_mounts++] =
		(struct vt_mount){ vt_path_join(attempt->dir, "pfs"), vt_xstrdup("/pfs") };
	process->mount = mount;
	/* a keeper has a root of its own */
	if (!of->keepers) {
		process->root = *root = vt_path_join(attempt->dir, "root");
		vt_fs_mkdirs(*root, err);
	}
	return err->code ? err->code : secret_mounts(mount, &process->n_mounts, attempt, of, err);
}

int vt_attempt_start(struct vt_attempt *attempt, const struct vt_attempt_of *of,
	enum vt_attempt_program program, struct vt_err *err)
{
	const struct vt_json *t = of->pipeline->transform, *secrets = vt_json_get(t, "secrets");
	const struct vt_json *cmd =
		vt_json_get(t, program == VT_ATTEMPT_ERR_CMD ? "errCmd" : "cmd");
	struct vt_process p = { .log = program == VT_ATTEMPT_SHELL ? NULL : attempt->log };
	/* /pfs and one a secret */
	struct vt_mount *mount = vt_xcalloc(1 + (secrets ? secrets->n : 0), sizeof *mount);
	char *root = view_root(attempt, of), *input = NULL, *path, *new_root = NULL;
	const char *dir = vt_json_text(vt_json_get(t, "workingDir"), "");
	/* a workingDir that is not there is as in an image without it: the attempt's */
	p.cwd = *dir && vt_fs_is_dir(dir) ? dir : attempt->dir;
	if (program == VT_ATTEMPT_SHELL) {
		path = vt_xstrdup(
			getenv("SHELL") && *getenv("SHELL") ? getenv("SHELL") : "/bin/sh");
		vt_strs_add(&p.argv, path);
	} else {
		path = words(&p.argv, cmd, root);
	}
	p.path = path;
	environment(&p.env, of, root);
	if (program != VT_ATTEMPT_SHELL) /* what a user starts from there is the user's */
		set(&p.env, VT_TRY_VARIABLE, attempt->dir);
	if (!path)
		vt_err_set(err, VT_ENOINPUT, "pipeline %s: program \"%s\" is not here",
			of->pipeline->name, vt_json_text(vt_json_at(cmd, 0), ""));
	else if (!write_stdin(&input, attempt,
			 vt_json_get(t, program == VT_ATTEMPT_ERR_CMD ? "errStdin" : "stdin"), root,
			 err) &&
		!surroundings(&p, mount, attempt, of, &new_root, err)) {
		p.stdin_path = input;
		if (of->keepers && program != VT_ATTEMPT_SHELL)
			attempt->keeper = vt_keepers_start(of->keepers, &p, err);
		else
			attempt->pid = vt_process_start(&p, err);
	}
	for (size_t i = 0; i < p.n_mounts; i++) {
		free(mount[i].from);
		free(mount[i].to);
	}
	free(mount);
	vt_process_release(&p);
	free(path);
	free(input);
	free(root);
	free(new_root);
	return err->code;
}

void vt_attempt_kill(const struct vt_attempt *attempt)
{
	if (attempt->keeper)
		vt_keeper_kill(attempt->keeper);
	vt_process_kill(attempt->pid);
}

static void forget(struct vt_attempt *attempt)
{
	free(attempt->dir);
	free(attempt->out);
	free(attempt->log);
	*attempt = (struct vt_attempt){ NULL, NULL, NULL, 0, NULL };
}

void vt_attempt_remove(struct vt_attempt *attempt)
{
	struct vt_err ignored = VT_ERR_INIT;
	if (attempt->dir)
		vt_fs_remove_tree(attempt->dir, &ignored);
	forget(attempt);
}

void vt_attempt_give_up(struct vt_attempt *attempt, struct vt_sweeper *sweeper)
{
	if (attempt->dir)
		vt_sweeper_add(sweeper, attempt->dir);
	forget(attempt);
}
