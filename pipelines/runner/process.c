/* A program with a log is run by a supervisor of its own (supervisor.c), which ends as the program
 * does; one that keeps the terminal is our child. */
#include "pipelines/runner/process_internal.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Every signal is blocked on entry. */
static _Noreturn void supervise(const struct vt_process *process, pid_t runner)
{
	struct vt_supervisor s;

	vt_supervisor_init(&s, runner, -1);
	vt_supervisor_end_as(vt_supervisor_run(&s, process));
}

static void terminate(struct vt_strs *strs)
{
	vt_strs_add(strs, "");
	free(strs->v[--strs->n]);
	strs->v[strs->n] = NULL;
}

pid_t vt_process_start(struct vt_process *process, struct vt_err *err)
{
	const pid_t self = getpid();
	sigset_t all, before;

	terminate(&process->argv);
	terminate(&process->env);
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	pid_t pid = fork();

	if (pid == 0 && process->log)
		supervise(process, self);
	if (pid == 0)
		vt_process_become(process,
			process->n_mounts && !vt_process_enter_root(process->root) ? errno : 0);
	sigprocmask(SIG_SETMASK, &before, NULL);
	if (pid < 0)
		vt_err_errno(err, VT_ENOMEM, "fork");
	return pid < 0 ? 0 : pid;
}

void vt_process_kill(pid_t pid)
{
	if (pid > 0)
		kill(pid, SIGTERM);
}

int vt_process_wait(pid_t pid, struct vt_err *err)
{
	int status = 0;

	vt_orphans_adopt();
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR) {
			vt_err_errno(err, VT_EIO, "process %d: cannot wait for it", (int)pid);
			return 0;
		}
	if (WIFSIGNALED(status))
		vt_orphans_end(NULL, 0);
	return status;
}

bool vt_process_can_mount(void)
{
	static int known = -1;
	int status = 1;
	if (known >= 0)
		return known;
	pid_t pid = fork();
	if (pid == 0)
		_exit(vt_process_enter_root("/tmp") ? 0 : 1);
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	known = pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
	return known;
}

static bool number(const char *text, unsigned long *out)
{
	char *end;
	*out = strtoul(text, &end, 10);
	return *text && !*end;
}

bool vt_process_user(const char *text, uid_t *uid, gid_t *gid)
{
	const char *colon = strchr(text, ':');
	char *name = colon ? vt_xstrndup(text, (size_t)(colon - text)) : vt_xstrdup(text);
	unsigned long id;
	bool known = number(name, &id);
	const struct passwd *u = known ? getpwuid((uid_t)id) : getpwnam(name);
	free(name);
	if (!known && !u)
		return false;
	*uid = u ? u->pw_uid : (uid_t)id;
	*gid = u ? u->pw_gid : (gid_t)id;
	if (!colon)
		return true;
	const struct group *g = number(colon + 1, &id) ? NULL : getgrnam(colon + 1);
	if (!g && !number(colon + 1, &id))
		return false;
	*gid = g ? g->gr_gid : (gid_t)id;
	return true;
}

void vt_process_release(struct vt_process *process)
{
	vt_strs_release(&process->argv);
	vt_strs_release(&process->env);
}
