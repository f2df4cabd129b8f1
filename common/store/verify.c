/* Re-hashing of everything the store holds; trusts no cache. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/base/fs.h"
#include "common/store/history_check.h"
#include "common/record/record.h"
#include "common/store/repo.h"
#include "common/store/store_internal.h"
#include "common/store/erased.h"
#include "common/store/tree_check.h"
#include "common/store/trust.h"

struct check {
	struct vt_store *s;
	void (*found)(void *ctx, const char *sentence);
	void *ctx;
	/* n: checks made, bad: findings */
	size_t n, bad;
	const char *kind;
	struct vt_tree_sums sums; /* trees that were checked */
	void (*open)(void *ctx, const char *object);
};

static void report(struct check *check, char *sentence)
{
	check->bad++;
	/* sentence is owned */
	check->found(check->ctx, sentence);
	free(sentence);
}

static bool is_there(const struct check *check, const char *kind, const struct vt_digest *digest)
{
	char *path = vt_store_path(check->s, kind, digest);
	bool there = vt_fs_exists(path);

	free(path);
	return there;
}

/* Every entry of a tree must be there. */
static void check_tree(struct check *check, const char *rel, const struct vt_digest *id)
{
	struct vt_err err = VT_ERR_INIT;
	struct vt_buf text = VT_BUF_INIT;
	struct vt_tree_line line;
	const char *at = NULL;
	size_t missing = 0;
	int more = vt_store_tree_text(check->s, &text, &at, id, &err) ? -1 : 1;

	while (more > 0 && (more = vt_tree_line_next(&at, &line, &err)) > 0) {
		const char *kind = line.type == 'd' ? "trees" : "objects";
		char hex[VT_HEX];

		vt_digest_hex(hex, &line.digest);
		/* a missing blob of an erasure is no finding */
		if (!is_there(check, kind, &line.digest) &&
			!(line.type != 'd' &&
				(vt_erased_has(check->s, &line.digest) ||
					vt_erased_proposed(check->s, &line.digest))) &&
			++missing)
			report(check,
				vt_asprintf("trees/%s: its entry %s is missing from %s/", rel, hex,
					kind));
	}
	/* only of a tree whose entries are all there */
	if (!more && !missing &&
		vt_tree_text_check(check->s, text.data, text.len, &check->sums, &err))
		more = -1;
	if (more < 0)
		report(check, vt_asprintf("trees/%s: %s", rel, err.text));
	vt_buf_release(&text);
}

static void check_record(struct check *check, const char *rel)
{
	struct vt_err err = VT_ERR_INIT;
	struct vt_buf text = VT_BUF_INIT;
	struct vt_json *j = NULL;
	char *path = vt_asprintf("%s/records/%s", check->s->dir, rel);

	if (vt_fs_read(&text, path, 1u << 30, &err) ||
		vt_record_parse(&j, text.data, text.len, rel, &err))
		report(check, vt_asprintf("records/%s", err.text));
	vt_json_free(j);
	vt_buf_release(&text);
	free(path);
}

/* What became of a batch of hashed files. */
static void judge(struct check *check, struct vt_fileset *set)
{
	for (size_t i = 0; i < set->n; i++) {
		const struct vt_fileset_file *f = &set->file[i];
		char hex[VT_HEX], name[VT_STORE_NAME];

		check->n++;
		vt_store_name(name, &f->digest);
		vt_digest_hex(hex, &f->digest);
		/* ab/cdef of the digest is where it must lie */
		/* Right bytes that somebody may write to: for the caller to tell, not a finding. */
		if (f->code)
			report(check, vt_xstrdup(f->fault));
		else if (strcmp(f->path, name))
			report(check,
				vt_asprintf("%s/%s: its bytes have the digest %s", check->kind,
					f->path, hex));
		else if (!strcmp(check->kind, "trees"))
			check_tree(check, f->path, &f->digest);
		else if (!strcmp(check->kind, "records"))
			check_record(check, f->path);
		else if ((f->mode & 0222) && check->open)
			check->open(check->ctx, f->path);
	}
}

/* files hashed together: enough for all threads, few enough for memory */
enum { BATCH = 4096 };

static int hash_batch(struct check *check, struct vt_fileset *set, struct vt_err *err)
{
	int rc = set->n ? vt_fileset_hash(set, -1, NULL, VT_FILESET_ALL, err) : 0;

	if (!rc)
		judge(check, set);
	vt_fileset_clear(set);
	return rc;
}

struct batch {
	struct check *c;
	struct vt_fileset *set;
};

static int add_file(void *ctx, const char *rel, char type, struct vt_err *err)
{
	struct batch *b = ctx;
	struct stat st;

	if (type == 'd')
		return 0;
	if (fstatat(b->set->root_fd, rel, &st, AT_SYMLINK_NOFOLLOW) || !S_ISREG(st.st_mode)) {
		b->c->n++;
		report(b->c, vt_asprintf("%s/%s: not a regular file", b->c->kind, rel));
		return 0;
	}
	vt_fileset_add(b->set, rel, &st)->wanted = true;
	return b->set->n < BATCH ? 0 : hash_batch(b->c, b->set, err);
}

static int check_kind(struct check *check, const char *kind, struct vt_err *err)
{
	struct vt_fileset set;
	struct batch b = { check, &set };
	char *dir = vt_path_join(check->s->dir, kind);
	int rc;

	check->kind = kind;
	vt_fileset_begin(&set);
	rc = vt_fileset_open(&set, dir, err);
	if (!rc)
		rc = vt_fs_walk(dir, add_file, &b, err);
	if (!rc)
		rc = hash_batch(check, &set, err);
	vt_fileset_release(&set);
	free(dir);
	return rc;
}

static int check_indexed(void *ctx, int n, const char *const *column)
{
	struct check *c = ctx;
	struct vt_digest d;

	(void)n;
	if (!vt_digest_parse(&d, column[0])) {
		report(c, vt_asprintf("lineage.db: \"%s\" is not a digest", column[0]));
		return 0;
	}
	if (!is_there(c, column[1], &d))
		report(c,
			vt_asprintf("lineage.db names %s/%s, which is missing", column[1],
				column[0]));
	return 0;
}

static int check_database(void *ctx, int n, const char *const *column)
{
	(void)n;
	if (strcmp(column[0], "ok"))
		report(ctx, vt_asprintf("lineage.db: %s", column[0]));
	return 0;
}

static void report_undead(void *ctx, const char *digest_hex)
{
	report(ctx,
		vt_asprintf("objects/%.2s/%s: erased by decision, but the bytes are here; run "
			    "`voxtrail erase` again",
			digest_hex, digest_hex + 2));
}

static void report_sentence(void *ctx, const char *sentence)
{
	report(ctx, vt_xstrdup(sentence));
}

int vt_store_verify(struct vt_store *store, void (*found)(void *ctx, const char *sentence),
	void (*open)(void *ctx, const char *object), void *ctx, size_t *n, struct vt_err *err)
{
	static const char *const kinds[] = { "objects", "trees", "records" };
	struct check c = { .s = store, .found = found, .ctx = ctx, .open = open };
	struct vt_err why = VT_ERR_INIT;
	size_t erased, disputes;
	int rc = 0;

	for (int i = 0; !rc && i < 3; i++)
		rc = check_kind(&c, kinds[i], err);
	if (!rc)
		rc = vt_record_index_read(store->db, err, "PRAGMA integrity_check", 0, NULL,
			check_database, &c);
	if (!rc)
		rc = vt_record_index_read(store->db, err, "SELECT id, 'records' FROM record", 0,
			NULL, check_indexed, &c);
	if (!rc)
		rc = vt_repo_check(store, found, ctx, &c.n, &c.bad, err);
	if (!rc)
		rc = vt_trust_disputes(store, report_sentence, &c, &disputes, err);
	if (!rc)
		rc = vt_erased_check(store, report_undead, &c, &erased, err);
	/* A history that cannot be followed is a finding, not the end of the check. */
	if (!rc && vt_history_check(store, report_sentence, &c, &c.n, &why))
		report(&c, vt_xstrdup(why.text));
	vt_tree_sums_release(&c.sums);
	*n = c.n;
	if (!rc && c.bad)
		rc = vt_err_set(err, VT_EINTEGRITY, "%s: %zu of %zu checks failed", store->dir,
			c.bad, c.n);
	return rc;
}
