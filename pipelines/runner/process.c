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
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/fs.h"

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
	int log = open(p->log, O_WRONLY | O_CREAT | O_APPEND, 0644);
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
	if (p->change_user && geteuid() == 0 &&
		(setgroups(0, NULL) || setgid(p->gid) || setuid(p->uid)))
		give_up("cannot become", "the user of the spec", 126);
	if (p->log)
		/* a killed runner takes its stages with it; a change of user would clear it */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (chdir(p->cwd))
		give_up("cannot enter", p->cwd, 126);
	execve(p->path, p->argv.v, p->env.v);
	give_up("cannot execute", p->path, 127);
}

/* --- in front of it ------------------------------------------------------ */

static void terminate(struct vt_strs *s)
{
	vt_strs_add(s, "");
	free(s->v[--s->n]);
	s->v[s->n] = NULL;
}

pid_t vt_process_start(struct vt_process *p, struct vt_err *err)
{
	terminate(&p->argv);
	terminate(&p->env);
	pid_t pid = fork();
	if (pid == 0)
		child(p);
	if (pid < 0)
		vt_err_errno(err, VT_ENOMEM, "fork");
	else if (p->log)
		setpgid(pid, pid); /* in both processes: neither may act before it holds */
	return pid < 0 ? 0 : pid;
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

void vt_process_release(struct vt_process *p)
{
	vt_strs_release(&p->argv);
	vt_strs_release(&p->env);
}
