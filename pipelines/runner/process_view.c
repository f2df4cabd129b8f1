/* What a program sees: its root with a /pfs, its network, its streams, its user.  The root is made
 * once for a process that starts one program after another (vt_process_enter_root); each program
 * gets a mount namespace of its own on top of it, where its /pfs and its secrets are mounted, so
 * that no program sees the mounts of another. */
#include "pipelines/runner/process_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

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

/* The machine's mounts are left behind where that can be, so that there is less to copy for each
 * program. */
static bool leave_old_root(void)
{
	if (!syscall(SYS_pivot_root, ".", "."))
		return !umount2(".", MNT_DETACH) && !chdir("/");
	return !chroot(".") && !chdir("/");
}

bool vt_process_enter_root(const char *root)
{
	return own_namespace() && !mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) &&
		mirror_root(root) && !chdir(root) && leave_old_root() &&
		(!mkdir("/pfs", 0755) || errno == EEXIST);
}

static void mount_view(const struct vt_process *process)
{
	if (unshare(CLONE_NEWNS))
		give_up("no namespace for", process->cwd, 126);
	for (size_t i = 0; i < process->n_mounts; i++) {
		char to[4400];

		snprintf(to, sizeof to, "%s", process->mount[i].to);
		make_directories(to);
		if (mount(process->mount[i].from, to, NULL, MS_BIND | MS_REC, NULL))
			give_up("cannot mount at", process->mount[i].to, 126);
	}
}

static void streams(const struct vt_process *process)
{
	int in = open(process->stdin_path ? process->stdin_path : "/dev/null", O_RDONLY);
	int log = open(process->log, O_WRONLY | O_CREAT | O_APPEND, 0600);
	int out = process->out ? open(process->out, O_WRONLY | O_CREAT | O_TRUNC, 0644) : log;
	if (in < 0 || log < 0 || out < 0 || dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(log, 2) < 0)
		_exit(VT_EIO);
}

void vt_process_become(const struct vt_process *process, int root_error)
{
	const pid_t parent = getppid();
	sigset_t none;

	sigemptyset(&none);
	if (process->log) {
		setpgid(0, 0);
		streams(process);
	}
	errno = root_error;
	if (process->n_mounts && root_error)
		give_up("no namespace for", process->root, 126);
	if (process->n_mounts)
		mount_view(process);
	if (process->no_network)
		leave_network();
	/* libc's own functions would ask every thread of the process whose memory this is */
	if (process->change_user && geteuid() == 0 &&
		(syscall(SYS_setgroups, 0, NULL) || syscall(SYS_setgid, process->gid) ||
			syscall(SYS_setuid, process->uid)))
		give_up("cannot become", "the user of the spec", 126);
	if (process->log) /* of the supervisor; a change of user would clear it */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (process->log && getppid() != parent)
		_exit(126);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (chdir(process->cwd))
		give_up("cannot enter", process->cwd, 126);
	execve(process->path, process->argv.v, process->env.v);
	give_up("cannot execute", process->path, 127);
}
