/* Preloaded into a run: writes to the file $SYNCS, with the time in ns, a line for each call that
 * makes something durable, that names a result, and that says a datum succeeded. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void say(const char *what, const char *of)
{
	static int to = -1;
	static pid_t self;
	struct timespec now;

	if (to < 0 && getenv("SYNCS")) {
		to = open(getenv("SYNCS"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
		self = getpid();
	}
	clock_gettime(CLOCK_MONOTONIC, &now);
	if (to >= 0 && getpid() == self) /* not its children, which share the descriptor */
		dprintf(to, "%lld %s %s\n", now.tv_sec * 1000000000LL + now.tv_nsec, what, of);
}

static const char *path_of(int fd)
{
	static char path[4096];
	char link[64];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	path[n > 0 ? n : 0] = '\0';
	return path;
}

#define REAL(name) ((__typeof__(&(name)))dlsym(RTLD_NEXT, #name))
#define SYNC(name)                                                                                 \
	int name(int fd)                                                                           \
	{                                                                                          \
		int rc = REAL(name)(fd);                                                           \
                                                                                                   \
		say(#name, path_of(fd));                                                           \
		return rc;                                                                         \
	}
SYNC(fsync)
SYNC(fdatasync)
SYNC(syncfs)

int renameat(int from_fd, const char *from, int to_fd, const char *to)
{
	if (!strncmp(to, "results/", 8))
		say("result", to);
	return REAL(renameat)(from_fd, from, to_fd, to);
}

size_t fwrite(const void *bytes, size_t size, size_t n, FILE *to)
{
	if (to == stderr && memmem(bytes, size * n, "\"state\":\"success\"", 17))
		say("told", "success");
	return REAL(fwrite)(bytes, size, n, to);
}
