/* The other end of the pipe: requests in, a local peer's answers out. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "common/transfer/peer_internal.h"

struct session {
	struct vt_peer *peer;
	struct vt_reader in;
	int out;
	struct vt_buf line, send;
	struct vt_peer_bounds bounds;
};

static int say(struct session *session, const void *bytes, size_t n, struct vt_err *err)
{
	return vt_peer_send(session->out, bytes, n, &session->bounds, "the client", err);
}

static int say_lines(struct session *session, const struct vt_strs *lines, struct vt_err *err)
{
	vt_buf_clear(&session->send);
	vt_buf_printf(&session->send, "ok %zu\n", lines->n);
	for (size_t i = 0; i < lines->n; i++)
		vt_buf_printf(&session->send, "%s\n", lines->v[i]);
	return say(session, session->send.data, session->send.len, err);
}

static int say_ok(struct session *session, struct vt_err *err)
{
	return say(session, "ok\n", 3, err);
}

/* The N lines behind a request. */
static int take_lines(struct session *session, const char *count, struct vt_strs *out,
	struct vt_err *err)
{
	uint64_t n = 0;
	size_t bytes = 0;
	int rc = vt_peer_count(&n, count, BATCH_NAMES)
		? 0
		: vt_err_set(err, VT_EDATA, "a request of \"%.40s\" names; at most %d", count,
			  BATCH_NAMES);

	for (uint64_t i = 0; !rc && i < n; i++) {
		rc = vt_reader_line(&session->in, &session->line, err);
		bytes += session->line.len;
		if (!rc && bytes > REQUEST_BYTES)
			rc = vt_err_set(err, VT_EDATA, "a request of more than %d bytes",
				REQUEST_BYTES);
		if (!rc)
			vt_strs_add(out, session->line.data);
	}
	return rc;
}

static int on_refs(struct session *session, const char *args, struct vt_err *err)
{
	struct vt_refs refs = { NULL, 0, 0 };
	struct vt_strs lines = VT_STRS_INIT;
	int rc = session->peer->ops->refs(session->peer, &refs, strcmp(args, "*") ? args : NULL,
		err);

	for (size_t i = 0; !rc && i < refs.n; i++) {
		char *line =
			vt_asprintf("%s %s %s", refs.v[i].repo, refs.v[i].name, refs.v[i].commit);

		vt_strs_add(&lines, line);
		free(line);
	}
	if (!rc)
		rc = say_lines(session, &lines, err);
	vt_strs_release(&lines);
	vt_refs_release(&refs);
	return rc;
}

static int on_list(struct session *session, const char *args, vt_listing listing,
	struct vt_err *err)
{
	struct vt_strs asked = VT_STRS_INIT, found = VT_STRS_INIT;
	int rc = take_lines(session, args, &asked, err);

	if (!rc)
		rc = listing(session->peer, &found, &asked, err);
	if (!rc)
		rc = say_lines(session, &found, err);
	vt_strs_release(&asked);
	vt_strs_release(&found);
	return rc;
}

static int send_object(void *ctx, const char *name, uint64_t size, struct vt_reader *reader,
	struct vt_err *err)
{
	struct session *v = ctx;

	vt_buf_clear(&v->send);
	vt_buf_printf(&v->send, "object %s %llu\n", name, (unsigned long long)size);
	if (say(v, v->send.data, v->send.len, err))
		return err->code;
	return vt_reader_send(reader, size, v->out, &v->bounds, name, err);
}

static int on_get(struct session *session, const char *args, struct vt_err *err)
{
	struct vt_strs names = VT_STRS_INIT;
	int rc = take_lines(session, args, &names, err);

	if (!rc)
		rc = session->peer->ops->get(session->peer, &names, send_object, session, err);
	vt_strs_release(&names);
	return rc;
}

static int on_put(struct session *session, char *args, struct vt_err *err)
{
	char *size = strrchr(args, ' ');
	uint64_t n;

	if (!size || !vt_peer_count(&n, size + 1, INT64_MAX))
		return vt_err_set(err, VT_EDATA, "the request \"put %.100s\" has no size", args);
	*size = '\0';
	return session->peer->ops->put(session->peer, args, n, &session->in, err);
}

static int on_move(struct session *session, char *args, struct vt_err *err)
{
	char *word[5] = { args, NULL, NULL, NULL, NULL };
	struct vt_digest d;

	for (int i = 1; i < 5; i++) {
		word[i] = strchr(word[i - 1], ' ');
		if (!word[i])
			return vt_err_set(err, VT_EDATA,
				"the request \"move %.100s\" is incomplete", args);
		*word[i]++ = '\0';
	}
	/* "-": the ref is not there yet */
	if (!strcmp(word[2], "-"))
		*word[2] = '\0';
	if ((*word[2] && !vt_digest_parse(&d, word[2])) || !vt_digest_parse(&d, word[3]))
		return vt_err_set(err, VT_EDATA,
			"a request moves %.100s to something that is not a commit id", word[1]);
	if (session->peer->ops->move(session->peer, word[0], word[1], word[2], word[3],
		    !strcmp(word[4], "force"), err))
		return err->code;
	return say_ok(session, err);
}

static int on_request(struct session *session, char *line, struct vt_err *err)
{
	char *args = strchr(line, ' ');

	if (!strcmp(line, "flush"))
		return session->peer->ops->flush(session->peer, err) ? err->code
								     : say_ok(session, err);
	if (args) {
		*args++ = '\0';
		if (!strcmp(line, "refs"))
			return on_refs(session, args, err);
		if (!strcmp(line, "history"))
			return on_list(session, args, session->peer->ops->history, err);
		if (!strcmp(line, "missing"))
			return on_list(session, args, session->peer->ops->missing, err);
		if (!strcmp(line, "unsound"))
			return on_list(session, args, session->peer->ops->unsound, err);
		if (!strcmp(line, "vouchers"))
			return on_list(session, args, session->peer->ops->vouchers, err);
		if (!strcmp(line, "erased"))
			return on_list(session, args, session->peer->ops->erased, err);
		if (!strcmp(line, "bury"))
			/* on this side the requester has no name */
			return session->peer->ops->bury(session->peer, args, "who pushed", err)
				? err->code
				: say_ok(session, err);
		if (!strcmp(line, "get"))
			return on_get(session, args, err);
		if (!strcmp(line, "put"))
			return on_put(session, args, err);
		if (!strcmp(line, "move"))
			return on_move(session, args, err);
	}
	return vt_err_set(err, VT_EDATA, "\"%.100s\" is not a request", line);
}

static void say_no(struct session *session, const struct vt_err *why)
{
	struct vt_err none = VT_ERR_INIT;
	struct vt_buf text = VT_BUF_INIT;

	vt_peer_bounds_begin(&session->bounds);
	vt_buf_printf(&text, "no %d %s\n", why->code, why->text);
	/* all but the last */
	for (char *p = strchr(text.data, '\n'); p && p < text.data + text.len - 1;
		p = strchr(p, '\n'))
		*p = ' ';
	say(session, text.data, text.len, &none);
	vt_buf_release(&text);
}

int vt_peer_serve(struct vt_store *store, const struct vt_peer_limits *limits, int in, int out,
	struct vt_err *err)
{
	struct session v = { .peer = vt_peer_limited(vt_peer_local(store), store, limits),
		.in = { NULL, 0, in, NULL, &v.bounds },
		.out = out };
	struct vt_err end = VT_ERR_INIT;
	int rc = vt_peer_bounds_init(&v.bounds, err);

	signal(SIGPIPE, SIG_IGN);
	if (rc)
		v.bounds.seconds = VT_PEER_SECONDS;
	vt_buf_printf(&v.send, "%s\n", vt_peer_greeting);
	if (!rc)
		rc = say(&v, v.send.data, v.send.len, err);
	/* the end of the input between two requests is the end of the session */
	while (!rc && !vt_reader_line(&v.in, &v.line, &end)) {
		/* requests reuse the line's buffer */
		char *line = vt_buf_detach(&v.line);

		vt_peer_bounds_begin(&v.bounds);
		rc = on_request(&v, line, err);
		free(line);
	}
	/* a line too long, or half of one; or nothing for too long */
	if (!rc && (end.code == VT_EDATA || v.line.len || v.bounds.expired)) {
		*err = end;
		rc = err->code;
	}
	if (v.bounds.expired) /* why, if the client reads that much */
		v.bounds.seconds = 1;
	if (rc)
		say_no(&v, err);
	vt_peer_close(v.peer);
	vt_reader_release(&v.in);
	vt_buf_release(&v.line);
	vt_buf_release(&v.send);
	return rc;
}
