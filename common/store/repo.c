/* Data repos: each branch a chain of commits in the commits table. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/store/store_internal.h"

void vt_commit_release(struct vt_commit *c)
{
	free(c->message);
	free(c->provenance);
	*c = (struct vt_commit){ .id = "" };
}

struct commits {
	struct vt_commit *v;
	size_t n, cap;
};

static int add_commit(void *ctx, int n, const char *const *column)
{
	struct commits *c = ctx;
	struct vt_commit *k;

	(void)n;
	if (c->n == c->cap) {
		c->cap = c->cap ? 2 * c->cap : 8;
		c->v = vt_xrealloc(c->v, c->cap * sizeof(*c->v));
	}
	k = &c->v[c->n++];
	snprintf(k->id, sizeof(k->id), "%s", column[0]);
	snprintf(k->parent, sizeof(k->parent), "%s", column[1]);
	snprintf(k->tree, sizeof(k->tree), "%s", column[2]);
	k->message = vt_xstrdup(column[3]);
	k->provenance = vt_xstrdup(column[4]);
	k->time = strtoll(column[5], NULL, 10);
	return 0;
}

int vt_repo_log(struct vt_store *s, struct vt_commit **out, size_t *n, const char *repo, const char *branch, struct vt_err *err)
{
	struct commits c = { NULL, 0, 0 };
	int rc = vt_lineage_read(s->db, err, "SELECT id, parent, tree, message, provenance, time FROM commits WHERE repo = ?1 AND branch = ?2 "
		"ORDER BY n DESC", 2, (const char *const[]){ repo, branch }, add_commit, &c);

	if (!rc && !c.n)
		rc = vt_err_set(err, VT_ENOINPUT, "%s@%s: there is no such repo or branch in %s", repo, branch, s->dir);
	if (rc) {
		free(c.v);
		return rc;
	}
	*out = c.v;
	*n = c.n;
	return 0;
}

int vt_repo_head(struct vt_store *s, struct vt_commit *out, const char *repo, const char *branch, struct vt_err *err)
{
	struct commits c = { NULL, 0, 0 };
	int rc = vt_lineage_read(s->db, err, "SELECT id, parent, tree, message, provenance, time FROM commits WHERE repo = ?1 AND branch = ?2 "
		"ORDER BY n DESC LIMIT 1", 2, (const char *const[]){ repo, branch }, add_commit, &c);

	if (!rc && !c.n)
		rc = vt_err_set(err, VT_ENOINPUT, "%s@%s: there is no such repo or branch in %s", repo, branch, s->dir);
	if (!rc)
		*out = c.v[0];
	free(c.v);
	return rc;
}

static int commit_id(char out[VT_HEX], const char *repo, const char *branch, const char *parent, const char *tree, const char *message,
	const char *provenance, struct vt_err *err)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT);
	struct vt_buf b = VT_BUF_INIT;
	struct vt_digest d;
	int rc;

	vt_json_put_text(j, "repo", repo);
	vt_json_put_text(j, "branch", branch);
	vt_json_put_text(j, "parent", parent);
	vt_json_put_text(j, "tree", tree);
	vt_json_put_text(j, "message", message);
	vt_json_put_text(j, "provenance", provenance);
	rc = vt_json_canonical(&b, j, err);
	if (!rc) {
		d = vt_digest_bytes(b.data, b.len);
		vt_digest_hex(out, &d);
	}
	vt_buf_release(&b);
	vt_json_free(j);
	return rc;
}

static bool name_is_good(const char *s)
{
	size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");

	return n > 0 && n <= 63 && !s[n];
}

int vt_repo_commit(struct vt_store *s, struct vt_commit *out, const char *repo, const char *branch, const struct vt_digest *tree,
	const char *message, const char *provenance, struct vt_err *err)
{
	struct vt_err none = VT_ERR_INIT;
	struct vt_commit head = { .id = "" };
	char hex[VT_HEX], id[VT_HEX], now[32];
	bool had;
	int rc;

	if (!name_is_good(repo) || !name_is_good(branch))
		return vt_err_set(err, VT_EUSAGE, "\"%s@%s\": names of repos and branches are 1 to 63 letters, digits, _ and -", repo, branch);
	vt_digest_hex(hex, tree);
	rc = vt_store_lock(s, err);
	if (rc)
		return rc;
	had = !vt_repo_head(s, &head, repo, branch, &none);
	if (!had && none.code != VT_ENOINPUT) {
		*err = none;
		rc = none.code;
		goto out;
	}
	if (had && !strcmp(head.tree, hex) && !strcmp(head.provenance, provenance)) {
		*out = head;
		head = (struct vt_commit){ .id = "" };
		goto out;
	}
	snprintf(now, sizeof(now), "%lld", (long long)time(NULL));
	rc = commit_id(id, repo, branch, had ? head.id : "", hex, message, provenance, err);
	if (!rc)
		rc = vt_lineage_write(s->db, err, "INSERT INTO commits (id, repo, branch, parent, tree, message, provenance, time) "
			"VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, CAST(?8 AS INTEGER))", 8,
			(const char *const[]){ id, repo, branch, had ? head.id : "", hex, message, provenance, now });
	if (!rc)
		rc = vt_repo_head(s, out, repo, branch, err);
out:
	vt_store_unlock(s);
	vt_commit_release(&head);
	return rc;
}

static int add_name(void *ctx, int n, const char *const *column)
{
	char *name = vt_asprintf("%s@%s", column[0], column[1]);

	(void)n;
	vt_strs_add(ctx, name);
	free(name);
	return 0;
}

int vt_repo_list(struct vt_store *s, struct vt_strs *names, struct vt_err *err)
{
	return vt_lineage_read(s->db, err, "SELECT DISTINCT repo, branch FROM commits ORDER BY repo, branch", 0, NULL, add_name, names);
}
