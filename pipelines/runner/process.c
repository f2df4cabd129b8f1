/* Between the runner and a program stands a supervisor, a process that adopts whatever the
 * program leaves behind (a daemon, a session of its own).  When the program ends, when the
 * runner says so by SIGTERM, or when the runner dies, it kills all that is left and only then
 * ends itself, with the program's status.  So a try is over when its supervisor is reaped, and
 * a killed runner leaves nothing running.  A pid namespace would do the same, but every datum
 * would see the same process ids, of which scripts and stores make names. */
#include "pipelines/runner/process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/fs.h"

enum { PATIENCE = 100 }; /* tenths of a second for a process that does not die */

/* --- behind the fork: only system calls, and a message on the log -------- */

static _Noreturn void give_up(const char *what, const char *path, int status)
{
	dprintf(2, "voxtrail: %s %s: %s\n", what, path, strerror(errno));
	_exit(status);
}

static bool write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	if (fd >= 0)
		close(fd);
	return ok;
}

/* Root needs no user namespace; others keep their ids inside one. */
static bool own_namespace(void)
{
	char map[64];
	uid_t uid = geteuid();
	gid_t gid = getegid();
	if (uid == 0 && !unshare(CLONE_NEWNS))
		return true;
	if (unshare(CLONE_NEWUSER | CLONE_NEWNS))
		return false;
	snprintf(map, sizeof map, "%u %u 1", (unsigned)uid, (unsigned)uid);
	write_text("/proc/self/setgroups", "deny");
	if (!write_text("/proc/self/uid_map", map))
		return false;
	snprintf(map, sizeof map, "%u %u 1", (unsigned)gid, (unsigned)gid);
	return write_text("/proc/self/gid_map", map);
}

/* Best effort: not every machine lets everybody make a namespace. */
static void leave_network(void)
{
	char map[64];
	uid_t uid = geteuid();
	gid_t gid = getegid();

	if (!unshare(CLONE_NEWNET) || unshare(CLONE_NEWUSER | CLONE_NEWNET))
		return;
	snprintf(map, sizeof map, "%u %u 1", (unsigned)uid, (unsigned)uid);
	write_text("/proc/self/setgroups", "deny");
	write_text("/proc/self/uid_map", map);
	snprintf(map, sizeof map, "%u %u 1", (unsigned)gid, (unsigned)gid);
	write_text("/proc/self/gid_map", map);
}

/* The same root again, on a file system of our own where directories can be made. */
static bool mirror_root(const char *root)
{
	DIR *d;
	if (mount("voxtrail", root, "tmpfs", 0, "mode=755") || !(d = opendir("/")))
		return false;
	for (const struct dirent *e; (e = readdir(d));) {
		char from[300], to[4400], target[4096];
		struct stat st;
		snprintf(from, sizeof from, "/%s", e->d_name);
		snprintf(to, sizeof to, "%s/%s", root, e->d_name);
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..") || lstat(from, &st))
			continue;
		ssize_t n = S_ISLNK(st.st_mode) ? readlink(from, target, sizeof target - 1) : -1;
		if (n > 0) {
			target[n] = 0;
			if (symlink(target, to))
				return false;
		} else if (S_ISDIR(st.st_mode)) {
			if (mkdir(to, 0755) || mount(from, to, NULL, MS_BIND | MS_REC, NULL))
				return false;
		}
	}
	closedir(d);
	return true;
}

static void make_directories(char *path)
{
	for (char *p = strchr(path + 1, '/'); p; p = strchr(p + 1, '/')) {
		*p = 0;
		mkdir(path, 0755);
		*p = '/';
	}
	mkdir(path, 0755);
}

static void enter_view(const struct vt_process *p)
{
	if (!own_namespace() || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
		!mirror_root(p->root))
		give_up("no namespace for", p->root, 126);
	for (size_t i = 0; i < p->n_mounts; i++) {
		char to[4400];
		snprintf(to, sizeof to, "%s%s", p->root, p->mount[i].to);
		make_directories(to);
		if (mount(p->mount[i].from, to, NULL, MS_BIND | MS_REC, NULL))
			give_up("cannot mount at", p->mount[i].to, 126);
	}
	if (chroot(p->root) || chdir("/"))
		give_up("cannot enter", p->root, 126);
}

static void streams(const struct vt_process *p)
{
	int in = open(p->stdin_path ? p->stdin_path : "/dev/null", O_RDONLY);
	int log = open(p->log, O_WRONLY | O_CREAT | O_APPEND, 0600);
	int out = p->out ? open(p->out, O_WRONLY | O_CREAT | O_TRUNC, 0644) : log;
	if (in < 0 || log < 0 || out < 0 || dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(log, 2) < 0)
		_exit(VT_EIO);
}

static _Noreturn void child(const struct vt_process *p)
{
	sigset_t none;
	sigemptyset(&none);
	if (p->log) {
		setpgid(0, 0);
		streams(p);
	}
	if (p->n_mounts)
		enter_view(p);
	if (p->no_network)
		leave_network();
	if (p->change_user && geteuid() == 0 &&
		(setgroups(0, NULL) || setgid(p->gid) || setuid(p->uid)))
		give_up("cannot become", "the user of the spec", 126);
	if (p->log)
		prctl(PR_SET_PDEATHSIG,
			SIGKILL); /* of the supervisor; a change of user would clear it */
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (chdir(p->cwd))
		give_up("cannot enter", p->cwd, 126);
	execve(p->path, p->argv.v, p->env.v);
	give_up("cannot execute", p->path, 127);
}

/* --- the supervisor ------------------------------------------------------ */

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

static void kill_children(void)
{
	const pid_t self = getpid();
	DIR *d = opendir("/proc");

	for (const struct dirent *e; d && (e = readdir(d));) {
		long pid = strtol(e->d_name, NULL, 10);

		if (pid > 1 && parent_of(e->d_name) == self)
			kill((pid_t)pid, SIGKILL);
	}
	if (d)
		closedir(d);
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

/* The children of a process that is killed become ours in their turn: until there are none. */
static void kill_all(pid_t program, bool *ended, int *status, const sigset_t *signals)
{
	const struct timespec tick = { 0, 100000000 };

	for (int i = 0; reap(program, ended, status) && i < PATIENCE; i++) {
		kill(-program, SIGKILL);
		kill_children();
		sigtimedwait(signals, NULL, &tick);
	}
}

/* Ends as the program did. */
static _Noreturn void end_as(int status)
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

/* Every signal is blocked on entry. */
static _Noreturn void supervise(const struct vt_process *p, pid_t runner)
{
	int status = SIGKILL; /* as wait(2) says it: a program that could not be reaped */
	bool ended = false;
	sigset_t signals;

	setpgid(0, 0);
	close_range(3, ~0U, 0); /* the runner's locks and files are not ours */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	sigemptyset(&signals);
	sigaddset(&signals, SIGCHLD);
	sigaddset(&signals, SIGTERM);
	pid_t program = getppid() == runner ? fork() : -1;

	if (program == 0)
		child(p);
	if (program < 0)
		_exit(VT_ENOMEM);
	setpgid(program, program); /* in both processes: neither may act before it holds */
	while (!ended && sigwaitinfo(&signals, NULL) != SIGTERM)
		reap(program, &ended, &status);
	kill_all(program, &ended, &status, &signals);
	end_as(status);
}

/* --- in front of it ------------------------------------------------------ */

static void terminate(struct vt_strs *s)
{
	vt_strs_add(s, "");
	free(s->v[--s->n]);
	s->v[s->n] = NULL;
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
		child(process);
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

bool vt_process_can_mount(void)
{
	static int known = -1;
	int status = 1;
	if (known >= 0)
		return known;
	pid_t pid = fork();
	if (pid == 0)
		_exit(own_namespace() && !mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) &&
					mirror_root("/tmp")
				? 0
				: 1);
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
