/* Between the runner and a program stands a supervisor, a process that adopts whatever the
 * program leaves behind (a daemon, a session of its own).  When the program ends, when the
 * runner says so, or when the runner dies, it kills all that is left and only then gives the
 * program's status.  So a try is over when there is a status, and a killed runner leaves nothing
 * running.  Who kills a supervisor takes the program along, which gets a signal at its parent's
 * death; what that one started is the runner's then, which adopts orphans, and ends there.  A pid
 * namespace would do the same, but every datum would see the same process ids, of which scripts
 * and stores make names.
 *
 * The program is started by vfork(2): a supervisor may be a copy of a large runner, and nothing of
 * that is copied again for each program. */
#include "pipelines/runner/process_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PATIENCE = 100 }; /* tenths of a second for a process that does not die */

/* The parent of a process, from /proc/<pid>/stat; 0 if it is gone. */
static pid_t parent_of(const char *pid)
{
	char path[300], text[512];
	int parent = 0;
	ssize_t n;

	snprintf(path, sizeof path, "/proc/%s/stat", pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return 0;
	n = read(fd, text, sizeof text - 1);
	close(fd);
	text[n > 0 ? n : 0] = 0;
	const char *end = strrchr(text, ')'); /* the name in front of it may hold anything */

	return end && sscanf(end + 1, " %*c %d", &parent) == 1 ? parent : 0;
}

static bool is_one_of(pid_t pid, const pid_t *spared, size_t n)
{
	bool found = false;

	for (size_t i = 0; i < n && !found; i++)
		found = spared[i] == pid;
	return found;
}

/* Children of the program that became this one by exec are not ours to end. */
static struct {
	pid_t *pid;
	size_t n;
	bool known;
} inherited;

static void note_inherited(void)
{
	const pid_t self = getpid();
	DIR *d = opendir("/proc");

	for (const struct dirent *e; d && (e = readdir(d));) {
		long pid = strtol(e->d_name, NULL, 10);

		if (pid <= 1 || parent_of(e->d_name) != self)
			continue;
		inherited.pid =
			vt_xrealloc(inherited.pid, (inherited.n + 1) * sizeof *inherited.pid);
		inherited.pid[inherited.n++] = (pid_t)pid;
	}
	if (d)
		closedir(d);
	inherited.known = true;
}

/* How many children of ours there are but the spared ones; all are killed, and reaped if `reaping`
 * (who does so knows of no other child to wait for). */
static size_t kill_children(const pid_t *spared, size_t n, bool reaping)
{
	const pid_t self = getpid();
	DIR *d = opendir("/proc");
	size_t found = 0;

	for (const struct dirent *e; d && (e = readdir(d));) {
		long pid = strtol(e->d_name, NULL, 10);

		if (pid <= 1 || parent_of(e->d_name) != self || is_one_of((pid_t)pid, spared, n) ||
			is_one_of((pid_t)pid, inherited.pid, inherited.n))
			continue;
		kill((pid_t)pid, SIGKILL);
		if (!reaping || waitpid((pid_t)pid, NULL, WNOHANG) != (pid_t)pid)
			found++;
	}
	if (d)
		closedir(d);
	return found;
}

void vt_orphans_adopt(void)
{
	if (!inherited.known)
		note_inherited();
	prctl(PR_SET_CHILD_SUBREAPER, 1);
}

/* What is killed may have had children, which become ours then: until a look finds none. */
void vt_orphans_end(const pid_t *spared, size_t n)
{
	const struct timespec tick = { 0, 10000000 };
	unsigned looks = 0;

	while (kill_children(spared, n, true) && looks++ < 10 * PATIENCE)
		nanosleep(&tick, NULL);
}

/* Reaps what ended; *status gets the program's.  False when there is no child any more. */
static bool reap(pid_t program, bool *ended, int *status)
{
	int one;
	pid_t pid;

	while ((pid = waitpid(-1, &one, WNOHANG)) > 0)
		if (pid == program) {
			*ended = true;
			*status = one;
		}
	return pid == 0;
}

bool vt_request_read(int requests, void *to, size_t n)
{
	char *at = to;

	while (n) {
		ssize_t got = recv(requests, at, n, 0);

		if (got <= 0 && !(got < 0 && errno == EINTR))
			return false;
		at += got > 0 ? got : 0;
		n -= got > 0 ? (size_t)got : 0;
	}
	return true;
}

bool vt_request_length(int requests, size_t *length)
{
	uint32_t n;
	bool got = vt_request_read(requests, &n, sizeof n);

	*length = got ? n : 0;
	return got;
}

/* Waits for a sign.  Is the program to be ended now? */
static bool told_to_end(struct vt_supervisor *supervisor)
{
	struct pollfd fd[] = { { supervisor->signals, POLLIN, 0 },
		{ supervisor->requests, POLLIN, 0 } };
	struct signalfd_siginfo one;
	size_t length;

	if (poll(fd, 2, -1) <= 0)
		return false;
	if (fd[0].revents && read(supervisor->signals, &one, sizeof one) == (ssize_t)sizeof one &&
		one.ssi_signo == SIGTERM)
		supervisor->over = true;
	if (fd[1].revents && !supervisor->over) {
		supervisor->over = !vt_request_length(supervisor->requests, &length) || length;
		return true;
	}
	return supervisor->over;
}

/* The children of a process that is killed become ours in their turn: until there are none. */
static void kill_all(struct vt_supervisor *supervisor, pid_t program, bool *ended, int *status)
{
	const struct timespec tick = { 0, 100000000 };
	int i = 0;

	for (; reap(program, ended, status) && i < PATIENCE; i++) {
		kill(-program, SIGKILL);
		kill_children(NULL, 0, false);
		if (sigtimedwait(&supervisor->awaited, NULL, &tick) == SIGTERM)
			supervisor->over = true;
	}
	supervisor->left_over = i == PATIENCE;
}

static pid_t start(const struct vt_process *process, int root_error)
{
	pid_t program = vfork();

	if (program == 0)
		vt_process_become(process, root_error);
	return program;
}

void vt_supervisor_root(struct vt_supervisor *supervisor, const char *root)
{
	supervisor->root_error = vt_process_enter_root(root) ? 0 : errno;
	supervisor->rooted = true;
}

int vt_supervisor_run(struct vt_supervisor *supervisor, const struct vt_process *process)
{
	struct vt_supervisor *s = supervisor;
	int status = SIGKILL; /* as wait(2) says it: a program that could not be reaped */
	bool ended = false;

	if (process->n_mounts && !s->rooted)
		vt_supervisor_root(s, process->root);
	pid_t program = start(process, s->root_error);

	if (program < 0)
		return VT_ENOMEM << 8;
	while (!ended && !told_to_end(s))
		reap(program, &ended, &status);
	kill_all(s, program, &ended, &status);
	return status;
}

void vt_supervisor_init(struct vt_supervisor *supervisor, pid_t runner, int requests)
{
	struct vt_supervisor *s = supervisor;

	*s = (struct vt_supervisor){ .requests = requests };
	setpgid(0, 0);
	if (requests >= 0)
		s->requests = requests == 3 || dup2(requests, 3) == 3 ? 3 : -1;
	close_range(requests < 0 ? 3 : 4, ~0U, 0); /* the runner's locks and files are not ours */
	if (s->requests >= 0)
		fcntl(s->requests, F_SETFD, FD_CLOEXEC);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	sigemptyset(&s->awaited);
	sigaddset(&s->awaited, SIGCHLD);
	sigaddset(&s->awaited, SIGTERM);
	s->signals = signalfd(-1, &s->awaited, SFD_CLOEXEC);
	if (getppid() != runner || s->signals < 0)
		_exit(VT_ENOMEM);
}

void vt_supervisor_end_as(int status)
{
	const struct rlimit no_core = { 0, 0 };
	sigset_t none;

	if (WIFEXITED(status))
		_exit(WEXITSTATUS(status));
	setrlimit(RLIMIT_CORE, &no_core);
	signal(WTERMSIG(status), SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	raise(WTERMSIG(status));
	_exit(128 + WTERMSIG(status));
}
