/* Re-hashing of everything the store holds; trusts no cache. */
#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/store/record.h"
#include "common/store/repo.h"
#include "common/store/store_internal.h"

struct check {
	struct vt_store *s;
	void (*found)(void *ctx, const char *sentence);
	void *ctx;
	size_t n, bad;
	const char *kind;
};

static void report(struct check *c, char *sentence)
{
	c->bad++;
	c->found(c->ctx, sentence);
	free(sentence);
}

/* Every entry of a tree must be there. */
static void check_entries(struct check *c, const char *rel, const char *text)
{
	for (const char *line = strchr(text, '\n'); line && *++line; line = strchr(line, '\n')) {
		struct vt_digest d;
		char *hex = strnlen(line, 67) > 66 ? vt_xstrndup(line + 2, 64) : vt_xstrdup(""), *path;

		if (!vt_digest_parse(&d, hex)) {
			report(c, vt_asprintf("trees/%s: a line is not an entry", rel));
		} else {
			path = vt_store_path(c->s, line[0] == 'd' ? "trees" : "objects", &d);
			if (!vt_fs_exists(path))
				report(c, vt_asprintf("trees/%s: its entry %s is missing from %s/", rel, hex, line[0] == 'd' ? "trees" : "objects"));
			free(path);
		}
		free(hex);
	}
}

static void check_text(struct check *c, const char *rel, const char *path)
{
	struct vt_err err = VT_ERR_INIT;
	struct vt_buf text = VT_BUF_INIT;
	struct vt_json *j = NULL;

	if (vt_fs_read(&text, path, 1u << 30, &err) == 0) {
		if (!strcmp(c->kind, "trees"))
			check_entries(c, rel, text.data);
		else if (vt_record_parse(&j, text.data, text.len, rel, &err))
			report(c, vt_asprintf("records/%s", err.text));
	}
	vt_json_free(j);
	vt_buf_release(&text);
}

static int check_file(void *ctx, const char *rel, char type, struct vt_err *err)
{
	struct check *c = ctx;
	char *dir = vt_path_join(c->s->dir, c->kind), *path = vt_path_join(dir, rel), hex[VT_HEX];
	struct vt_digest d;
	uint64_t size;
	struct vt_err why = VT_ERR_INIT;

	(void)err;
	if (type == 'f') {
		c->n++;
		if (vt_digest_file(&d, &size, path, &why)) {
			report(c, vt_xstrdup(why.text));
		} else {
			vt_digest_hex(hex, &d);
			if (strlen(rel) != 65 || strncmp(rel, hex, 2) || strcmp(rel + 3, hex + 2))
				report(c, vt_asprintf("%s/%s: its bytes have the digest %s", c->kind, rel, hex));
			else if (strcmp(c->kind, "objects"))
				check_text(c, rel, path);
		}
	}
	free(path);
	free(dir);
	return 0;
}

static int check_indexed(void *ctx, int n, const char *const *column)
{
	struct check *c = ctx;
	struct vt_digest d;
	char *path;

	(void)n;
	if (!vt_digest_parse(&d, column[0])) {
		report(c, vt_asprintf("lineage.db: \"%s\" is not a digest", column[0]));
		return 0;
	}
	path = vt_store_path(c->s, column[1], &d);
	if (!vt_fs_exists(path))
		report(c, vt_asprintf("lineage.db names %s/%s, which is missing", column[1], column[0]));
	free(path);
	return 0;
}

static int check_database(void *ctx, int n, const char *const *column)
{
	(void)n;
	if (strcmp(column[0], "ok"))
		report(ctx, vt_asprintf("lineage.db: %s", column[0]));
	return 0;
}

int vt_store_verify(struct vt_store *s, void (*found)(void *ctx, const char *sentence), void *ctx, size_t *n, struct vt_err *err)
{
	static const char *const kinds[] = { "objects", "trees", "records" };
	struct check c = { s, found, ctx, 0, 0, NULL };
	int rc = 0;

	for (int i = 0; !rc && i < 3; i++) {
		char *dir = vt_path_join(s->dir, kinds[i]);

		c.kind = kinds[i];
		rc = vt_fs_walk(dir, check_file, &c, err);
		free(dir);
	}
	if (!rc)
		rc = vt_lineage_read(s->db, err, "PRAGMA integrity_check", 0, NULL, check_database, &c);
	if (!rc)
		rc = vt_lineage_read(s->db, err, "SELECT id, 'records' FROM record", 0, NULL, check_indexed, &c);
	if (!rc)
		rc = vt_repo_check(s, found, ctx, &c.n, &c.bad, err);
	*n = c.n;
	if (!rc && c.bad)
		rc = vt_err_set(err, VT_EINTEGRITY, "%s: %zu of %zu checks failed", s->dir, c.bad, c.n);
	return rc;
}
