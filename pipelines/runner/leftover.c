/* A process is held by a descriptor before its environment is read, so what is killed is what was
 * looked at, even where process ids are soon used again.  What is killed may have had children, or
 * have made one since: so until a look finds none. */
#include "pipelines/runner/leftover.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/fs.h"
#include "common/base/log.h"

enum { LOOKS = 1000, ENVIRONMENT = 4 << 20 };

static void read_environment(struct vt_buf *out, const char *pid)
{
	char path[300], part[4096];
	ssize_t n;

	vt_buf_clear(out);
	snprintf(path, sizeof path, "/proc/%s/environ", pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	while (fd >= 0 && out->len < ENVIRONMENT && (n = read(fd, part, sizeof part)) > 0)
		vt_buf_add(out, part, (size_t)n);
	if (fd >= 0)
		close(fd);
	vt_buf_char(out, '\0');
}

static bool holds(const struct vt_buf *environment, const char *beginning)
{
	const size_t n = strlen(beginning);
	bool found = false;

	for (const char *at = environment->data, *end = at + environment->len; at < end && !found;
		at += strlen(at) + 1)
		found = !strncmp(at, beginning, n);
	return found;
}

/* In another mount namespace (a container, a batch job with a /tmp of its own) the path may name
 * the directory of a run that goes on. */
static bool is_another(const char *pid, const char *work)
{
	char *there = vt_asprintf("/proc/%s/root%s", pid, work);
	struct stat theirs, ours;
	bool other = !stat(there, &theirs) && !stat(work, &ours) &&
		(theirs.st_dev != ours.st_dev || theirs.st_ino != ours.st_ino);

	free(there);
	return other;
}

/* Was it one of them? */
static bool end_one(const char *pid, const char *work, const char *beginning,
	struct vt_buf *environment)
{
	int held = (int)syscall(SYS_pidfd_open, (pid_t)strtol(pid, NULL, 10), 0);
	bool found = false;

	if (held < 0)
		return false;
	read_environment(environment, pid);
	if (holds(environment, beginning) && !is_another(pid, work))
		found = !syscall(SYS_pidfd_send_signal, held, SIGKILL, NULL, 0);
	close(held);
	return found;
}

static size_t look(const char *work, const char *beginning)
{
	struct vt_buf environment = VT_BUF_INIT;
	DIR *d = opendir("/proc");
	size_t found = 0;

	for (const struct dirent *e; d && (e = readdir(d));)
		if (strtol(e->d_name, NULL, 10) > 1)
			found += end_one(e->d_name, work, beginning, &environment);
	if (d)
		closedir(d);
	vt_buf_release(&environment);
	return found;
}

void vt_leftovers_end(const char *work)
{
	const struct timespec tick = { 0, 10000000 };
	const char *own = getenv(VT_TRY_VARIABLE);
	struct stat st;
	char *beginning;
	size_t found;

	/* whoever started us from a try would be ended with us */
	if (stat(work, &st) || (own && vt_path_is_within(own, work)))
		return;
	beginning = vt_asprintf(VT_TRY_VARIABLE "=%s/", work);
	found = look(work, beginning);
	if (found)
		vt_log(VT_LOG_WARN, "left-over",
			"processes=%zu note=\"of a run that was killed: they are ended\"", found);
	for (size_t looks = 1; found && looks < LOOKS; looks++) {
		nanosleep(&tick, NULL);
		found = look(work, beginning);
	}
	free(beginning);
}
