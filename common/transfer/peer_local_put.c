/* What is put into a store on this machine.
 *
 * It lies under tmp/ until flush, which checks every byte and then publishes kind by kind: objects,
 * trees (in the order they came: children first), records, commits (parents first).  So what is
 * there is always whole: a tree that is present has all its entries, a commit its tree and parents,
 * and a repeated transfer need not look behind either. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/attest/kept.h"
#include "common/base/fs.h"
#include "common/base/fault.h"
#include "common/transfer/peer_local.h"
#include "common/record/record.h"
#include "common/store/repo_internal.h"
#include "common/store/erased.h"
#include "common/store/result.h"
#include "common/store/policy.h"
#include "common/store/signatures.h"

enum {
	WAITING = 1 << 12,       /* most files that wait for flush */
	WAITING_TEXTS = 4 << 20, /* and bytes of what is read into memory then, but for one text */
};

static const char *const kinds[] = { "objects", "trees", "records", "results", "commits",
	"signatures" };

bool vt_local_parse_name(const char *name, const char **kind, struct vt_digest *id)
{
	const char *space = strchr(name, ' ');

	for (size_t i = 0; space && i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strlen(kinds[i]) == (size_t)(space - name) &&
			!strncmp(name, kinds[i], strlen(kinds[i]))) {
			*kind = kinds[i];
			return vt_digest_parse(id, space + 1);
		}
	return false;
}

char *vt_local_path(struct vt_store *store, const char *name, struct vt_err *err)
{
	const char *kind;
	struct vt_digest id;

	if (vt_local_parse_name(name, &kind, &id)) /* kind is one of ours, with no path in it */
		return vt_store_path(store, kind, &id);
	vt_err_set(err, VT_EDATA, "\"%.100s\" is not the name of anything that a store holds",
		name);
	return NULL;
}

int vt_local_missing(struct vt_peer *peer, struct vt_strs *out, const struct vt_strs *names,
	struct vt_err *err)
{
	struct vt_store *s = ((struct local *)peer)->s;

	/* what is found here is relied on: gc must not sweep it before something names it */
	if (vt_store_use(s, err))
		return err->code;
	for (size_t i = 0; i < names->n; i++) {
		char *path = vt_local_path(s, names->v[i], err);
		const char *kind;
		struct vt_digest id;

		if (!path)
			return err->code;
		/* what was erased here is not lacking */
		if (!vt_fs_exists(path) &&
			!(vt_local_parse_name(names->v[i], &kind, &id) &&
				!strcmp(kind, "objects") && vt_erased_has(s, &id)))
			vt_strs_add(out, names->v[i]);
		free(path);
	}
	return 0;
}

static char *waiting_path(const struct local *local, size_t i)
{
	return vt_asprintf("%s/tmp/%s", local->s->dir, local->tmp.v[i]);
}

/* What waits is published before it is too much for one go: children come before who names them,
 * so whatever is there is whole. */
static int make_room(struct local *local, const char *kind, uint64_t size, struct vt_err *err)
{
	uint64_t texts = strcmp(kind, "objects") ? size : 0;

	if (texts > VT_PEER_TEXT)
		return vt_err_set(err, VT_EDATA, "one of the %s has %llu bytes; at most %d", kind,
			(unsigned long long)size, VT_PEER_TEXT);
	if (local->tmp.n && (local->tmp.n >= WAITING || local->texts + texts > WAITING_TEXTS) &&
		vt_local_flush(&local->peer, err))
		return err->code;
	local->texts += texts;
	return 0;
}

int vt_local_put(struct vt_peer *peer, const char *name, uint64_t size, struct vt_reader *reader,
	struct vt_err *err)
{
	struct local *l = (struct local *)peer;
	const char *kind;
	struct vt_digest id;
	char *tmp;
	int fd, rc;

	if (!vt_local_parse_name(name, &kind, &id))
		return vt_err_set(err, VT_EDATA,
			"\"%.100s\" is not the name of anything that a store holds", name);
	if (vt_store_use(l->s, err) || make_room(l, kind, size, err))
		return err->code;
	tmp = vt_store_tmp_name(l->s);
	/* named by a counter here: what a peer calls it makes no path outside the store */
	fd = vt_fault("put.create")
		? -1
		: openat(l->s->tmp_fd, tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
	if (fd < 0) {
		rc = vt_err_errno(err, VT_ECANTCREAT, "%s/tmp: cannot create a file", l->s->dir);
	} else {
		/* listed before it is written: vt_local_forget() removes it if that fails */
		vt_strs_add(&l->name, name);
		vt_strs_add(&l->tmp, tmp);
		rc = vt_fault("put.write") ? vt_err_errno(err, VT_EIO, "%s: cannot write", name)
					   : vt_reader_copy(reader, size, fd, name, err);
		if (close(fd) && !rc)
			rc = vt_err_errno(err, VT_EIO, "%s/tmp/%s: cannot close", l->s->dir, tmp);
	}
	free(tmp);
	return rc;
}

/* Everything a tree or commit names must be there before it is; of erased files the tombstone. */
static int check_tree(struct local *local, const char *name, const struct vt_buf *text,
	struct vt_err *err)
{
	/* entries begin behind the header line */
	const char *at = strchr(text->data, '\n');
	struct vt_tree_line line;
	int more = 0;

	for (at = at ? at + 1 : ""; (more = vt_tree_line_next(&at, &line, err)) > 0;) {
		char *path = vt_store_path(local->s, line.type == 'd' ? "trees" : "objects",
			     &line.digest),
		     hex[VT_HEX];

		vt_digest_hex(hex, &line.digest);
		if (!vt_fs_exists(path) &&
			(line.type == 'd' ||
				(!vt_erased_has(local->s, &line.digest) &&
					!vt_erased_proposed(local->s, &line.digest))))
			vt_err_set(err, VT_EINTEGRITY, "%s: its entry %.*s (%s) did not come", name,
				(int)line.name_len, line.name, hex);
		free(path);
		if (err->code)
			return err->code;
	}
	if (more < 0 || vt_tree_text_check(local->s, text->data, text->len, &local->sums, err) ||
		vt_tree_text_twins(text->data, text->len, name, err))
		return vt_err_prefix(err, "%s", name);
	return 0;
}

/* What an object names must have come. */
static int check_present(struct local *local, const char *name, const struct vt_strs *names,
	struct vt_err *err)
{
	struct vt_strs lacking = VT_STRS_INIT;
	int rc = vt_local_missing(&local->peer, &lacking, names, err);

	if (!rc && lacking.n)
		rc = vt_err_set(err, VT_EINTEGRITY, "%s: what it names, %s, did not come", name,
			lacking.v[0]);
	vt_strs_release(&lacking);
	return rc;
}

static int check_commit(struct local *local, const char *name, const struct vt_buf *text,
	struct vt_err *err)
{
	struct vt_commit c = { .id = "" };
	struct vt_strs names = VT_STRS_INIT;
	int rc = vt_commit_parse(&c, text->data, text->len, name, err);

	/* its tree first, then each parent */
	for (size_t i = 0; !rc && i <= c.parents.n; i++) {
		char *other = i ? vt_asprintf("commits %s", c.parents.v[i - 1])
				: vt_asprintf("trees %s", c.tree);

		vt_strs_add(&names, other);
		free(other);
	}
	if (!rc)
		rc = check_present(local, name, &names, err);
	vt_strs_release(&names);
	vt_commit_release(&c);
	return rc;
}

/* Its trees must be there; what it claims of them nobody can check. */
static int check_result(struct local *local, const char *name, const struct vt_buf *text,
	struct vt_err *err)
{
	struct vt_result r;
	struct vt_strs names = VT_STRS_INIT;
	int rc = vt_result_parse(&r, text->data, text->len)
		? 0
		: vt_err_set(err, VT_EDATA, "%s is not a result", name);

	/* the tree of what it made, then that of its lineage */
	for (int i = 0; !rc && i < 1 + r.has_lineage; i++) {
		char hex[VT_HEX], *tree;

		vt_digest_hex(hex, i ? &r.lineage : &r.tree);
		tree = vt_asprintf("trees %s", hex);
		vt_strs_add(&names, tree);
		free(tree);
	}
	if (!rc)
		rc = check_present(local, name, &names, err);
	vt_strs_release(&names);
	return rc;
}

/* A result that is here stays: nobody else's word takes its place. */
static bool has_result(const struct local *local, const char *to)
{
	char *path = vt_path_join(local->s->dir, to);
	struct vt_buf text = VT_BUF_INIT;
	struct vt_err none = VT_ERR_INIT;
	struct vt_result r;
	bool has = vt_fs_exists(path) && !vt_fs_read(&text, path, VT_PEER_TEXT, &none) &&
		vt_result_parse(&r, text.data ? text.data : "", text.len);

	vt_buf_release(&text);
	free(path);
	return has;
}

static int publish_one(struct local *local, size_t i, struct vt_published *published,
	struct vt_err *err)
{
	char *tmp = waiting_path(local, i), to[VT_STORE_NAME + 16], name[VT_STORE_NAME];
	struct vt_buf text = VT_BUF_INIT;
	const char *kind = published->kind;
	struct vt_digest id;
	int rc = strcmp(published->kind, "objects") ? vt_fs_read(&text, tmp, VT_PEER_TEXT, err) : 0;

	vt_local_parse_name(local->name.v[i], &kind, &id);
	vt_store_name(name, &id);
	snprintf(to, sizeof(to), "%s/%s", kind, name);
	if (!rc && !strcmp(kind, "trees"))
		rc = check_tree(local, local->name.v[i], &text, err);
	if (!rc && !strcmp(kind, "commits"))
		rc = check_commit(local, local->name.v[i], &text, err);
	if (!rc && !strcmp(kind, "results"))
		rc = check_result(local, local->name.v[i], &text, err);
	if (!rc && !strcmp(kind, "results") && has_result(local, to)) {
		unlinkat(local->s->tmp_fd, local->tmp.v[i], 0);
		goto out;
	}
	if (!rc)
		rc = vt_publish_fan_out(local->s, published, &id, err);
	if (!rc &&
		(vt_fault("put.rename") ||
			renameat(local->s->tmp_fd, local->tmp.v[i], local->s->dir_fd, to)))
		rc = vt_err_errno(err, VT_EIO, "%s/%s: cannot take its name", local->s->dir, to);
out:
	vt_buf_release(&text);
	free(tmp);
	return rc;
}

static int publish_kind(struct local *local, const char *kind, struct vt_err *err)
{
	struct vt_published p;
	bool any = false;
	int rc = 0;

	for (size_t i = 0; i < local->name.n && !any; i++)
		any = vt_transfer_is_kind(local->name.v[i], kind);
	if (!any)
		return 0;
	rc = vt_publish_begin(local->s, &p, kind, err);
	if (rc)
		return rc;
	for (size_t i = 0; !rc && i < local->name.n; i++)
		if (vt_transfer_is_kind(local->name.v[i], kind))
			rc = publish_one(local, i, &p, err);
	return vt_publish_end(local->s, &p, rc, err);
}

/* Records go the way of any other: checked, published and indexed as one batch. */
static int publish_records(struct local *local, struct vt_err *err)
{
	struct vt_record_text *v = vt_xcalloc(local->name.n + 1, sizeof(*v));
	size_t n = 0;
	int rc = 0;

	for (size_t i = 0; !rc && i < local->name.n; i++) {
		struct vt_buf text = VT_BUF_INIT;
		struct vt_json *j = NULL;
		char *tmp;

		if (!vt_transfer_is_kind(local->name.v[i], "records"))
			continue;
		tmp = waiting_path(local, i);
		rc = vt_fs_read(&text, tmp, VT_PEER_TEXT, err);
		free(tmp);
		if (!rc)
			rc = vt_record_parse(&j, text.data, text.len, local->name.v[i], err);
		if (rc)
			vt_buf_release(&text);
		else
			v[n++] = (struct vt_record_text){ text.data, text.len, j };
	}
	if (!rc && n)
		rc = vt_policy_check_peer(local->s, v, n, err);
	if (!rc && n)
		rc = vt_received_tell(local->s, &local->name, "records", err);
	if (!rc && n)
		rc = vt_store_put_records(local->s, v, n, err);
	/* vt_record_text borrows, and these texts and records are owned here */
	for (size_t i = 0; i < n; i++) {
		union {
			const char *in;
			char *out;
		} text = { v[i].text };
		union {
			const struct vt_json *in;
			struct vt_json *out;
		} record = { v[i].record };

		free(text.out);
		vt_json_free(record.out);
	}
	free(v);
	return rc;
}

static int take_signature(struct local *local, size_t i, const struct vt_policy *policy,
	struct vt_err *err)
{
	struct vt_buf text = VT_BUF_INIT;
	char *tmp = waiting_path(local, i);
	int rc = vt_fs_read(&text, tmp, VT_SIGNATURES_LIMIT, err);

	if (!rc && text.len)
		rc = vt_attestations_take(local->s, text.data, text.len, local->name.v[i],
			strchr(local->name.v[i], ' ') + 1, policy, NULL, err);
	vt_buf_release(&text);
	free(tmp);
	return rc;
}

/* Before the records that they are of: a site may take signed ones only.  Of a record some may be
 * here from before, by a key that counts since. */
static int take_signatures(struct local *local, struct vt_err *err)
{
	struct vt_policy p;
	bool any = false;
	int rc;

	for (size_t i = 0; i < local->name.n && !any; i++)
		any = vt_transfer_is_kind(local->name.v[i], "signatures") ||
			vt_transfer_is_kind(local->name.v[i], "records");
	if (!any)
		return 0;
	rc = vt_policy_read(&p, local->s, err);
	if (rc)
		return rc;
	for (size_t i = 0; !rc && i < local->name.n; i++)
		if (vt_transfer_is_kind(local->name.v[i], "signatures"))
			rc = take_signature(local, i, &p, err);
		else if (vt_transfer_is_kind(local->name.v[i], "records"))
			rc = vt_attestations_weigh(local->s, strchr(local->name.v[i], ' ') + 1, &p,
				err);
	vt_policy_release(&p);
	return rc;
}

static int check_bytes(struct local *local, struct vt_err *err)
{
	for (size_t i = 0; !err->code && i < local->tmp.n; i++) {
		char *tmp = waiting_path(local, i), hex[VT_HEX];
		struct vt_digest d;
		uint64_t size;

		/* the only things here that are not named by their bytes */
		if (vt_transfer_is_kind(local->name.v[i], "results")) {
			vt_result_mark_brought(tmp, err);
		} else if (!vt_transfer_is_kind(local->name.v[i], "signatures") &&
			!vt_digest_file(&d, &size, tmp, err)) {
			vt_digest_hex(hex, &d);
			if (strcmp(hex, strchr(local->name.v[i], ' ') + 1))
				vt_err_set(err, VT_EINTEGRITY,
					"%s arrived with the digest %s; verify the store it "
					"came from",
					local->name.v[i], hex);
		}
		free(tmp);
	}
	return err->code;
}

/* before the first rename: a name never stands for bytes that a crash can take back */
static int sync_contents(const struct local *local, struct vt_err *err)
{
	return vt_fault("put.sync") || syncfs(local->s->dir_fd) ? vt_err_errno(err, VT_EIO,
									  "%s: cannot make writes "
									  "durable",
									  local->s->dir)
								: 0;
}

void vt_local_forget(struct local *local)
{
	for (size_t i = 0; i < local->tmp.n; i++)
		unlinkat(local->s->tmp_fd, local->tmp.v[i], 0);
	vt_strs_release(&local->name);
	vt_strs_release(&local->tmp);
	local->texts = 0;
}

int vt_local_flush(struct vt_peer *peer, struct vt_err *err)
{
	struct local *l = (struct local *)peer;
	/* nothing comes in past rules that cannot be read; bytes are checked and durable before any
	 * of them takes its name */
	int rc = l->tmp.n && !vt_policy_check(l->s, err) ? check_bytes(l, err) : err->code;

	if (!rc && l->tmp.n)
		rc = sync_contents(l, err);
	if (!rc)
		rc = publish_kind(l, "objects", err);
	if (!rc)
		rc = publish_kind(l, "trees", err);
	if (!rc)
		rc = take_signatures(l, err);
	if (!rc)
		rc = publish_records(l, err);
	if (!rc)
		rc = vt_received_tell(l->s, &l->name, "results", err);
	if (!rc)
		rc = publish_kind(l, "results", err);
	if (!rc)
		rc = publish_kind(l, "commits", err);
	vt_local_forget(l);
	return rc;
}
