/* A request is a length (32 bits; 0: end the program that runs) and that many bytes: a line of
 * numbers, then texts with their NULs.  An answer is the program's status and whether the keeper
 * leaves: it does when the program changed what the next one would see, which is / itself, as the
 * mounts are in a namespace of the program's.  The root's time of change is set back when nothing
 * runs, so any change shows.  The runner's end of the socket raises SIGCHLD.  When the socket is
 * closed, by the runner or because it is gone, the keeper ends, and what it runs. */
#include "pipelines/runner/keeper.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/fs.h"
#include "pipelines/runner/process_internal.h"

struct vt_keeper {
	pid_t pid;
	int socket;        /* the runner's end */
	bool busy, leaves; /* busy: a program runs; leaves: it ends after its answer */
	char *root;
};

struct answer {
	int status, leaves;
};

/* --- the keeper's side --------------------------------------------------- */

static char *next_text(char **at)
{
	char *text = *at;

	/* texts lie one behind the other, each with its NUL */
	*at += strlen(text) + 1;
	return text;
}

/* "" stands for NULL */
static const char *next_or_null(char **at)
{
	const char *text = next_text(at);

	return *text ? text : NULL;
}

static void next_list(struct vt_strs *list, size_t n, char **at)
{
	*list = (struct vt_strs){ vt_xcalloc(n + 1, sizeof *list->v), n, n + 1 };
	for (size_t i = 0; i < n; i++)
		list->v[i] = next_text(at);
}

/* The texts stay in the message. */
static void decode(struct vt_process *process, struct vt_mount **mount, char *message)
{
	size_t n_argv, n_env;
	int no_network, change_user;
	char *at = message;

	sscanf(next_text(&at), "%zu %zu %zu %d %d %u %u", &n_argv, &n_env, &process->n_mounts,
		&no_network, &change_user, &process->uid, &process->gid);
	process->no_network = no_network;
	process->change_user = change_user;
	process->path = next_text(&at);
	process->cwd = next_text(&at);
	process->log = next_text(&at);
	process->stdin_path = next_or_null(&at);
	process->out = next_or_null(&at);
	process->root = next_text(&at);
	next_list(&process->argv, n_argv, &at);
	next_list(&process->env, n_env, &at);
	*mount = vt_xcalloc(process->n_mounts + 1, sizeof **mount);
	for (size_t i = 0; i < process->n_mounts; i++) {
		(*mount)[i].from = next_text(&at);
		(*mount)[i].to = next_text(&at);
	}
	process->mount = *mount;
}

static bool run_request(struct vt_supervisor *supervisor, char *message)
{
	/* The time 0 cannot come of a change: it is the mark that nothing was changed. */
	static const struct timespec never[2] = { { 0, 0 }, { 0, 0 } };
	struct vt_process p = { .path = NULL };
	struct vt_mount *mount = NULL;
	struct answer answer = { 0, 0 };
	struct stat root;

	decode(&p, &mount, message);
	/* once: a keeper's namespace serves all its programs */
	if (p.n_mounts && !supervisor->rooted) {
		vt_supervisor_root(supervisor, p.root);
		if (!supervisor->root_error && utimensat(AT_FDCWD, "/", never, 0))
			supervisor->root_error = errno;
	}
	answer.status = vt_supervisor_run(supervisor, &p);
	/* Whatever could make the next program see another world: the next one gets a new
	 * keeper. */
	answer.leaves = supervisor->over || supervisor->left_over || supervisor->root_error ||
		(supervisor->rooted && (stat("/", &root) || root.st_mtim.tv_sec));
	free(mount);
	free(p.argv.v);
	free(p.env.v);
	/* nobody there to hear: the runner is gone */
	return send(supervisor->requests, &answer, sizeof answer, MSG_NOSIGNAL) ==
		(ssize_t)sizeof answer &&
		!answer.leaves;
}

/* Every signal is blocked on entry. */
static _Noreturn void keep(int requests, pid_t runner)
{
	struct vt_supervisor s;
	size_t length;
	bool stays = true;

	vt_supervisor_init(&s, runner, requests);
	while (stays && vt_request_length(s.requests, &length)) {
		if (!length)
			continue; /* its program had ended */
		char *message = vt_xmalloc(length);

		stays = vt_request_read(s.requests, message, length) && run_request(&s, message);
		free(message);
	}
	_exit(0);
}

/* --- the runner's side --------------------------------------------------- */

static void add_text(struct vt_buf *to, const char *text)
{
	vt_buf_add(to, text ? text : "", text ? strlen(text) + 1 : 1);
}

static void encode(struct vt_buf *to, const struct vt_process *process, const char *root)
{
	uint32_t length = 0;

	/* its place; the length is known at the end */
	vt_buf_add(to, &length, sizeof length);
	vt_buf_printf(to, "%zu %zu %zu %d %d %u %u", process->argv.n, process->env.n,
		process->n_mounts, process->no_network, process->change_user,
		(unsigned)process->uid, (unsigned)process->gid);
	vt_buf_char(to, '\0');
	add_text(to, process->path);
	add_text(to, process->cwd);
	add_text(to, process->log);
	add_text(to, process->stdin_path);
	add_text(to, process->out);
	add_text(to, root);
	for (size_t i = 0; i < process->argv.n; i++)
		add_text(to, process->argv.v[i]);
	for (size_t i = 0; i < process->env.n; i++)
		add_text(to, process->env.v[i]);
	for (size_t i = 0; i < process->n_mounts; i++) {
		add_text(to, process->mount[i].from);
		add_text(to, process->mount[i].to);
	}
	assert(to->len - sizeof length <= UINT32_MAX);
	length = (uint32_t)(to->len - sizeof length);
	memcpy(to->data, &length, sizeof length);
}

static bool send_all(int fd, const char *bytes, size_t n)
{
	while (n) {
		ssize_t sent = send(fd, bytes, n, MSG_NOSIGNAL);

		if (sent < 0 && errno != EINTR)
			return false;
		bytes += sent > 0 ? sent : 0;
		n -= sent > 0 ? (size_t)sent : 0;
	}
	return true;
}

/* Somebody killed it: what its program started is ours now, and ends. */
static void bury(struct vt_keepers *k, const struct vt_keeper *dead)
{
	/* keepers' own processes and the one that is spared are no orphans */
	pid_t *spared = vt_xcalloc(k->n + 1, sizeof *spared);

	while (waitpid(dead->pid, NULL, 0) < 0 && errno == EINTR)
		;
	spared[k->n] = k->spared ? *k->spared : 0;
	for (size_t i = 0; i < k->n; i++)
		spared[i] = k->v[i]->pid;
	vt_orphans_end(spared, k->n + 1);
	free(spared);
}

/* Closing the socket ends it. */
static void remove_at(struct vt_keepers *k, size_t i)
{
	struct vt_keeper *one = k->v[i];

	assert(i < k->n);
	/* The keeper reads the end of its socket and leaves. */
	close(one->socket);
	while (waitpid(one->pid, NULL, 0) < 0 && errno == EINTR)
		;
	rmdir(one->root);
	free(one->root);
	free(one);
	/* order does not matter */
	k->v[i] = k->v[--k->n];
}

static bool raises_sigchld(int socket)
{
	/* the kernel raises SIGCHLD for us, so that one wait hears of processes and of answers */
	return !fcntl(socket, F_SETOWN, getpid()) && !fcntl(socket, F_SETSIG, SIGCHLD) &&
		!fcntl(socket, F_SETFL, O_ASYNC);
}

static struct vt_keeper *make(struct vt_keepers *k, struct vt_err *err)
{
	const pid_t self = getpid();
	char *root = vt_asprintf("%s/root.%zu", k->dir, k->made);
	int pair[2] = { -1, -1 };
	sigset_t all, before;
	pid_t pid = -1;

	/* the first keeper: what dying keepers leave behind becomes our child */
	if (!k->made++)
		vt_orphans_adopt();
	if (vt_fs_mkdirs(root, err) || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) ||
		!raises_sigchld(pair[0])) {
		if (!err->code)
			vt_err_errno(err, VT_ENOMEM, "socketpair");
	} else {
		/* The child starts with all signals blocked, see keep(). */
		sigfillset(&all);
		sigprocmask(SIG_SETMASK, &all, &before);
		pid = fork();
		if (pid == 0)
			keep(pair[1], self);
		sigprocmask(SIG_SETMASK, &before, NULL);
		if (pid < 0)
			vt_err_errno(err, VT_ENOMEM, "fork");
	}
	if (pair[1] >= 0)
		close(pair[1]);
	if (err->code) {
		if (pair[0] >= 0)
			close(pair[0]);
		rmdir(root);
		free(root);
		return NULL;
	}
	struct vt_keeper *one = vt_xmalloc(sizeof *one);

	*one = (struct vt_keeper){ .pid = pid, .socket = pair[0], .root = root };
	k->v = vt_xrealloc(k->v, (k->n + 1) * sizeof *k->v);
	return k->v[k->n++] = one;
}

struct vt_keeper *vt_keepers_start(struct vt_keepers *keepers, struct vt_process *process,
	struct vt_err *err)
{
	struct vt_buf message = VT_BUF_INIT;
	struct vt_keeper *one = NULL;

	/* from the end, for remove_at() moves the last one down */
	for (size_t i = keepers->n; !one && i-- > 0;)
		if (keepers->v[i]->leaves)
			remove_at(keepers, i);
		else if (!keepers->v[i]->busy)
			one = keepers->v[i];
	if (!one && !(one = make(keepers, err)))
		return NULL;
	encode(&message, process, one->root);
	/* What comes back of one that died while it waited is a failed try. */
	assert(!one->busy && !one->leaves);
	send_all(one->socket, message.data, message.len);
	one->busy = true;
	vt_buf_release(&message);
	return one;
}

void vt_keeper_kill(const struct vt_keeper *keeper)
{
	const uint32_t end = 0;

	send_all(keeper->socket, (const char *)&end, sizeof end);
}

const struct vt_keeper *vt_keepers_ended(struct vt_keepers *keepers, int *status)
{
	for (size_t i = 0; i < keepers->n; i++) {
		struct vt_keeper *one = keepers->v[i];
		struct answer answer = { SIGKILL, 1 }; /* of one that was killed itself */
		/* only who runs something has an answer */
		ssize_t got =
			one->busy ? recv(one->socket, &answer, sizeof answer, MSG_DONTWAIT) : -1;

		if (got < 0)
			continue;
		/* the socket is closed: it was killed */
		if (!got)
			bury(keepers, one);
		one->busy = false;
		one->leaves = answer.leaves;
		*status = answer.status;
		return one;
	}
	return NULL;
}

void vt_keepers_end(struct vt_keepers *keepers)
{
	/* all are told before the first is waited for */
	for (size_t i = 0; i < keepers->n; i++)
		shutdown(keepers->v[i]->socket, SHUT_RDWR);
	while (keepers->n)
		remove_at(keepers, keepers->n - 1);
	free(keepers->v);
	keepers->v = NULL;
}
