/* A store behind a pipe, as its client sees it. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/transfer/peer_internal.h"

/* hundredths of a second until a server that is told to end is made to */
enum { CLOSE_PATIENCE = 300 };

struct wire {
	struct vt_peer peer;
	struct vt_reader in;
	int out;
	pid_t pid;
	struct vt_buf line, send;
	struct vt_peer_bounds bounds;
	char *said;
};

/* "no CODE TEXT" */
static int refused(struct wire *wire, struct vt_err *err)
{
	char *end;
	long code = strtol(wire->line.data + 3, &end, 10);

	/* exit codes of ours, nothing else */
	if (code < 1 || code > 127 || *end != ' ')
		return vt_err_set(err, VT_EDATA, "%s: answered \"%.200s\"", wire->said,
			wire->line.data);
	return vt_err_set(err, (int)code, "%s: %s", wire->said, end + 1);
}

/* A request could not be sent: where the server gave up it has said why. */
static int explain(struct wire *wire, struct vt_err *err)
{
	struct vt_err none = VT_ERR_INIT;

	/* the server sees the end of its input, and its last words can be read */
	close(wire->out);
	wire->out = -1;
	if (!wire->bounds.expired && !vt_reader_line(&wire->in, &wire->line, &none) &&
		!strncmp(wire->line.data, "no ", 3))
		refused(wire, err);
	return err->code;
}

/* A request, or what goes before the bytes of one. */
static int put_text(struct wire *wire, const char *text, struct vt_err *err)
{
	vt_peer_bounds_begin(&wire->bounds);
	return vt_peer_send(wire->out, text, strlen(text), &wire->bounds, wire->said, err)
		? explain(wire, err)
		: 0;
}

/* Sends "WORD N" and the lines. */
static int ask(struct wire *wire, const char *word, const struct vt_strs *lines, struct vt_err *err)
{
	vt_buf_clear(&wire->send);
	vt_buf_printf(&wire->send, "%s %zu\n", word, lines->n);
	for (size_t i = 0; i < lines->n; i++)
		vt_buf_printf(&wire->send, "%s\n", lines->v[i]);
	return put_text(wire, wire->send.data, err);
}

/* Reads an answer line; *rest is what stands behind `word `. */
static int answer(struct wire *wire, const char *word, const char **rest, struct vt_err *err)
{
	size_t n = strlen(word);

	if (vt_reader_line(&wire->in, &wire->line, err))
		return vt_err_prefix(err, "%s", wire->said);
	if (!strncmp(wire->line.data, "no ", 3))
		return refused(wire, err);
	/* "ok" is no prefix of "okay" */
	if (strncmp(wire->line.data, word, n) || (wire->line.data[n] && wire->line.data[n] != ' '))
		return vt_err_set(err, VT_EDATA, "%s: answered \"%.200s\"", wire->said,
			wire->line.data);
	*rest = wire->line.data + n + (wire->line.data[n] == ' ');
	return 0;
}

/* At most `most` lines: what the other side announces decides no size here. */
static int answer_lines(struct wire *wire, struct vt_strs *out, size_t most, struct vt_err *err)
{
	const char *rest;
	uint64_t n;

	if (answer(wire, "ok", &rest, err))
		return err->code;
	if (!vt_peer_count(&n, rest, most))
		return vt_err_set(err, VT_EDATA, "%s: announced \"%.40s\" lines; at most %zu",
			wire->said, rest, most);
	for (uint64_t i = 0; i < n; i++) {
		if (vt_reader_line(&wire->in, &wire->line, err))
			return vt_err_prefix(err, "%s", wire->said);
		/* a short line takes as much as an id */
		if (vt_peer_bounds_keep(&wire->bounds,
			    wire->line.len < VT_HEX ? VT_HEX : wire->line.len, wire->said, err))
			return err->code;
		vt_strs_add(out, wire->line.data);
	}
	return 0;
}

/* Of the names that were asked about, and none besides: what is lacking there is sent. */
static int answer_names(struct wire *wire, struct vt_strs *out, const struct vt_strs *names,
	struct vt_err *err)
{
	struct vt_strs asked = VT_STRS_INIT, said = VT_STRS_INIT;
	int rc = answer_lines(wire, &said, names->n, err);

	for (size_t i = 0; !rc && i < names->n; i++)
		vt_strs_add(&asked, names->v[i]);
	vt_strs_sort(&asked);
	for (size_t i = 0; !rc && i < said.n; i++)
		if (vt_strs_hold(&asked, said.v[i]))
			vt_strs_add(out, said.v[i]);
		else
			rc = vt_err_set(err, VT_EDATA,
				"%s: answered \"%.100s\", which it was not asked about", wire->said,
				said.v[i]);
	vt_strs_release(&asked);
	vt_strs_release(&said);
	return rc;
}

/* "REPO heads/NAME ID", or tags/NAME; cut apart in place. */
static bool add_ref(struct vt_refs *out, char *line)
{
	char *name = strchr(line, ' '), *id = name ? strchr(name + 1, ' ') : NULL, *word;
	struct vt_digest d;

	if (!id || !vt_digest_parse(&d, id + 1))
		return false;
	*name++ = '\0';
	*id++ = '\0';
	word = strchr(name, '/');
	if (!word || !vt_repo_name_is_good(line) || !vt_ref_name_is_good(word + 1))
		return false;
	vt_refs_add(out, line, name, id);
	return true;
}

static int wire_refs(struct vt_peer *peer, struct vt_refs *out, const char *repo,
	struct vt_err *err)
{
	struct wire *w = (struct wire *)peer;
	struct vt_strs lines = VT_STRS_INIT;
	char *request = vt_asprintf("refs %s\n", repo ? repo : "*");
	int rc = put_text(w, request, err);

	if (!rc)
		rc = answer_lines(w, &lines, ANSWER_LINES, err);
	for (size_t i = 0; !rc && i < lines.n; i++) {
		char *line = vt_xstrdup(lines.v[i]);

		if (!add_ref(out, line))
			rc = vt_err_set(err, VT_EDATA, "%s: sent the ref \"%.200s\"", w->said,
				lines.v[i]);
		free(line);
	}
	vt_strs_release(&lines);
	free(request);
	return rc;
}

static int wire_history(struct vt_peer *peer, struct vt_strs *out, const struct vt_strs *tips,
	struct vt_err *err)
{
	return ask((struct wire *)peer, "history", tips, err)
		? err->code
		: answer_lines((struct wire *)peer, out, ANSWER_LINES, err);
}

static int wire_missing(struct vt_peer *peer, struct vt_strs *out, const struct vt_strs *names,
	struct vt_err *err)
{
	return ask((struct wire *)peer, "missing", names, err)
		? err->code
		: answer_names((struct wire *)peer, out, names, err);
}

static int wire_unsound(struct vt_peer *peer, struct vt_strs *out, const struct vt_strs *names,
	struct vt_err *err)
{
	return ask((struct wire *)peer, "unsound", names, err)
		? err->code
		: answer_lines((struct wire *)peer, out, ANSWER_LINES, err);
}

static int wire_vouchers(struct vt_peer *peer, struct vt_strs *out, const struct vt_strs *trees,
	struct vt_err *err)
{
	return ask((struct wire *)peer, "vouchers", trees, err)
		? err->code
		: answer_lines((struct wire *)peer, out, ANSWER_LINES, err);
}

static int wire_erased(struct vt_peer *peer, struct vt_strs *out, const struct vt_strs *names,
	struct vt_err *err)
{
	return ask((struct wire *)peer, "erased", names, err)
		? err->code
		: answer_lines((struct wire *)peer, out, names->n, err);
}

static int wire_bury(struct vt_peer *peer, const char *line, const char *who, struct vt_err *err)
{
	char *request = vt_asprintf("bury %s\n", line);
	const char *rest;
	int rc = put_text((struct wire *)peer, request, err);

	/* the other end knows who is logged in */
	(void)who;
	free(request);
	return rc ? rc : answer((struct wire *)peer, "ok", &rest, err);
}

static int wire_get(struct vt_peer *peer, const struct vt_strs *names, vt_sink sink, void *ctx,
	struct vt_err *err)
{
	struct wire *w = (struct wire *)peer;
	int rc = ask(w, "get", names, err);

	for (size_t i = 0; !rc && i < names->n; i++) {
		const char *rest;
		size_t n = strlen(names->v[i]);
		uint64_t size = 0;

		rc = answer(w, "object", &rest, err);
		/* in the order asked for */
		if (!rc && (strncmp(rest, names->v[i], n) || rest[n] != ' '))
			rc = vt_err_set(err, VT_EDATA,
				"%s: was asked for %s and answered \"%.200s\"", w->said,
				names->v[i], rest);
		if (!rc && !vt_peer_count(&size, rest + n + 1, INT64_MAX))
			rc = vt_err_set(err, VT_EDATA, "%s: %s of \"%.40s\" bytes", w->said,
				names->v[i], rest + n + 1);
		if (!rc)
			rc = sink(ctx, names->v[i], size, &w->in, err);
	}
	return rc;
}

static int wire_put(struct vt_peer *peer, const char *name, uint64_t size, struct vt_reader *reader,
	struct vt_err *err)
{
	struct wire *w = (struct wire *)peer;
	char *request = vt_asprintf("put %s %llu\n", name, (unsigned long long)size);
	int rc = put_text(w, request, err);

	free(request);
	if (!rc && vt_reader_send(reader, size, w->out, &w->bounds, name, err))
		rc = explain(w, err);
	return rc;
}

static int wire_flush(struct vt_peer *peer, struct vt_err *err)
{
	const char *rest;

	return put_text((struct wire *)peer, "flush\n", err)
		? err->code
		: answer((struct wire *)peer, "ok", &rest, err);
}

static int wire_move(struct vt_peer *peer, const char *repo, const char *name, const char *from,
	const char *to, bool force, struct vt_err *err)
{
	struct wire *w = (struct wire *)peer;
	char *request = vt_asprintf("move %s %s %s %s %s\n", repo, name, *from ? from : "-", to,
		force ? "force" : "forward");
	const char *rest;
	int rc = put_text(w, request, err);

	free(request);
	return rc ? rc : answer(w, "ok", &rest, err);
}

/* It was told by the closed pipes; who does not end by that is ended. */
static void end_child(struct wire *wire)
{
	const struct timespec moment = { 0, 10 * 1000 * 1000 };
	int waited = wire->bounds.expired ? CLOSE_PATIENCE : 0;

	for (pid_t ended = 0; wire->pid > 0; waited++) {
		ended = waitpid(wire->pid, NULL, WNOHANG);
		if (ended == wire->pid || (ended < 0 && errno != EINTR))
			return;
		if (waited == CLOSE_PATIENCE)
			kill(wire->pid, SIGTERM);
		if (waited == 2 * CLOSE_PATIENCE)
			kill(wire->pid, SIGKILL);
		nanosleep(&moment, NULL);
	}
}

static void wire_close(struct vt_peer *peer)
{
	struct wire *w = (struct wire *)peer;

	if (w->out >= 0)
		close(w->out);
	if (w->in.fd >= 0)
		close(w->in.fd);
	end_child(w);
	vt_reader_release(&w->in);
	vt_buf_release(&w->line);
	vt_buf_release(&w->send);
	free(w->said);
	free(w);
}

static const struct vt_peer_ops ops = { wire_refs, wire_history, wire_missing, wire_unsound,
	wire_vouchers, wire_erased, wire_bury, wire_get, wire_put, wire_flush, wire_move,
	wire_close };

/* --- reaching it --------------------------------------------------------- */

struct address {
	char *host, *port, *path; /* host NULL: a directory */
};

static void address_release(struct address *address)
{
	free(address->host);
	free(address->port);
	free(address->path);
}

static int parse_url(struct address *address, const char *remote, struct vt_err *err)
{
	/* behind "ssh://" */
	const char *host = remote + 6, *slash = strchr(host, '/'), *colon;

	if (!slash || slash == host)
		return vt_err_set(err, VT_EUSAGE, "%s: write ssh://HOST/PATH", remote);
	colon = memchr(host, ':', (size_t)(slash - host));
	address->host = vt_xstrndup(host, (size_t)((colon ? colon : slash) - host));
	if (colon)
		address->port = vt_xstrndup(colon + 1, (size_t)(slash - colon - 1));
	address->path = vt_xstrdup(slash);
	if (address->port &&
		(!*address->port || address->port[strspn(address->port, "0123456789")]))
		return vt_err_set(err, VT_EUSAGE, "%s: the port \"%s\" is not a number", remote,
			address->port);
	return 0;
}

/* host:path where no '/' stands before the ':', as scp and git have it. */
static int parse_address(struct address *address, const char *remote, struct vt_err *err)
{
	const char *colon = strchr(remote, ':'), *slash = strchr(remote, '/');
	int rc = 0;

	if (!strncmp(remote, "ssh://", 6)) {
		rc = parse_url(address, remote, err);
	} else if (strstr(remote, "://")) {
		rc = vt_err_set(err, VT_EUSAGE,
			"%s: a remote is a directory, HOST:PATH or ssh://HOST/PATH; "
			"docs/store.md says how to use an object store",
			remote);
	} else if (colon && (!slash || colon < slash)) {
		address->host = vt_xstrndup(remote, (size_t)(colon - remote));
		address->path = vt_xstrdup(colon + 1);
	}
	/* a host that begins with - would be taken for an option */
	if (!rc && address->host && (!*address->host || *address->host == '-' || !*address->path))
		rc = vt_err_set(err, VT_EUSAGE, "%s: no host and path", remote);
	return rc;
}

/* 'text' with ' as '\'' : one word for the shell at the other end. */
static void quote(struct vt_buf *out, const char *text)
{
	vt_buf_char(out, '\'');
	for (; *text; text++)
		if (*text == '\'')
			vt_buf_str(out, "'\\''");
		else
			vt_buf_char(out, *text);
	vt_buf_char(out, '\'');
}

static void run_ssh(const struct address *address, const char *command)
{
	/* may hold options, so a shell splits it */
	const char *ssh = getenv("VOXTRAIL_SSH");
	char *script = vt_asprintf("exec %s \"$@\"", ssh && *ssh ? ssh : "ssh");

	if (address->port)
		execl("/bin/sh", "sh", "-c", script, "ssh", "-p", address->port, address->host,
			command, (char *)NULL);
	else
		execl("/bin/sh", "sh", "-c", script, "ssh", address->host, command, (char *)NULL);
	free(script);
}

static int spawn(struct wire *wire, const struct address *address, bool writing, struct vt_err *err)
{
	const char *program = getenv("VOXTRAIL_REMOTE");
	struct vt_buf command = VT_BUF_INIT;
	int to[2] = { -1, -1 }, from[2] = { -1, -1 };

	if (pipe2(to, O_CLOEXEC) || pipe2(from, O_CLOEXEC))
		return vt_err_errno(err, VT_EIO, "cannot make a pipe");
	vt_buf_printf(&command, "%s serve%s --store ", program && *program ? program : "voxtrail",
		writing ? " --write" : "");
	quote(&command, address->path);
	/* a server that went away is an error to report */
	signal(SIGPIPE, SIG_IGN);
	wire->pid = fork();
	if (wire->pid == 0) {
		signal(SIGPIPE, SIG_DFL);
		if (dup2(to[0], 0) >= 0 && dup2(from[1], 1) >= 0)
			run_ssh(address, command.data);
		/* dup2 or exec failed; as a shell says that a command is not there */
		_Exit(127);
	}
	close(to[0]);
	close(from[1]);
	wire->out = to[1];
	wire->in.fd = from[0];
	vt_buf_release(&command);
	return wire->pid < 0 ? vt_err_errno(err, VT_EIO, "cannot start ssh") : 0;
}

static int connect_to(struct wire *wire, const struct address *address, bool writing,
	struct vt_err *err)
{
	int rc = spawn(wire, address, writing, err);

	if (!rc && vt_reader_line(&wire->in, &wire->line, err) && wire->bounds.expired)
		rc = vt_err_prefix(err, "%s", wire->said);
	else if (!rc && err->code)
		rc = vt_err_set(err, VT_ENOINPUT,
			"%s: no answer; is voxtrail on the PATH there, or "
			"$VOXTRAIL_REMOTE its path?",
			wire->said);
	if (!rc && !strncmp(wire->line.data, "no ", 3))
		rc = refused(wire, err);
	if (!rc && strcmp(wire->line.data, vt_peer_greeting))
		rc = vt_err_set(err, VT_EDATA,
			"%s: said \"%.200s\" instead of \"%s\"; is its shell's start-up silent, "
			"its voxtrail of this version?",
			wire->said, wire->line.data, vt_peer_greeting);
	return rc;
}

int vt_peer_open(struct vt_peer **out, const char *remote, bool writing, struct vt_err *err)
{
	struct address a = { NULL, NULL, NULL };
	struct wire *w;
	int rc = parse_address(&a, remote, err);

	if (rc || !a.host) {
		address_release(&a);
		return rc ? rc : vt_peer_directory(out, remote, writing, err);
	}
	w = vt_xcalloc(1, sizeof(*w));
	w->out = w->in.fd = -1;
	w->in.bounds = &w->bounds;
	w->said = vt_xstrdup(remote);
	w->peer = (struct vt_peer){ &ops, w->said, true };
	rc = vt_peer_bounds_init(&w->bounds, err);
	if (!rc)
		rc = connect_to(w, &a, writing, err);
	if (rc)
		wire_close(&w->peer);
	else
		*out = &w->peer;
	address_release(&a);
	return rc;
}

void vt_peer_close(struct vt_peer *peer)
{
	if (peer)
		peer->ops->close(peer);
}
