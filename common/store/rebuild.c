#include "common/store/rebuild.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/fs.h"
#include "common/record/record.h"
#include "common/store/store_internal.h"
#include "common/store/trust.h"

struct filling {
	struct vt_store *s;
	struct vt_record_index *to;
	const char *base;
	struct vt_rebuild *out;
	void (*refused)(void *ctx, const char *sentence);
	void *ctx;
};

static void refuse(struct filling *filling, const char *sentence)
{
	filling->out->n_refused++;
	filling->refused(filling->ctx, sentence);
}

/* rel: ab/cdef... */
static bool is_named(const char *rel, const char *text, size_t n)
{
	struct vt_digest d = vt_digest_bytes(text, n);
	char hex[VT_HEX];

	vt_digest_hex(hex, &d);
	return strlen(rel) == 65 && !strncmp(rel, hex, 2) && !strcmp(rel + 3, hex + 2);
}

static int fill_one(void *ctx, const char *rel, char type, struct vt_err *err)
{
	struct filling *f = ctx;
	char *path = vt_path_join(f->base, rel);
	struct vt_record_text one = { NULL, 0, NULL };
	struct vt_buf text = VT_BUF_INIT;
	struct vt_err why = VT_ERR_INIT;
	struct vt_json *j = NULL;
	int rc = 0;

	if (type == 'd')
		goto out;
	if (!vt_fs_read(&text, path, 1u << 30, &why) && !is_named(rel, text.data, text.len))
		vt_err_set(&why, VT_EINTEGRITY, "%s: its bytes are not what its name says", path);
	if (!why.code)
		vt_record_parse(&j, text.data, text.len, path, &why);
	if (why.code) {
		refuse(f, why.text);
		goto out;
	}
	one = (struct vt_record_text){ text.data, text.len, j };
	rc = vt_record_index_fill(f->to, &one, 1, err);
	f->out->n_records += !rc;
out:
	vt_json_free(j);
	vt_buf_release(&text);
	free(path);
	return rc;
}

static void remove_db(const char *path)
{
	static const char *const suffix[] = { "", "-wal", "-shm", "-journal" };

	for (size_t i = 0; i < sizeof(suffix) / sizeof(suffix[0]); i++) {
		char *name = vt_asprintf("%s%s", path, suffix[i]);

		unlink(name);
		free(name);
	}
}

static int fill(struct filling *filling, const char *made, struct vt_err *err)
{
	struct vt_err why = VT_ERR_INIT;
	int rc = vt_record_index_open(&filling->to, made, false, err);

	if (!rc)
		rc = vt_record_index_fill_begin(filling->to, err);
	/* what a damaged history says up to the damage still holds */
	if (!rc && vt_trust_replay(filling->s, filling->to, &why))
		refuse(filling, why.text);
	if (!rc)
		rc = vt_fs_walk(filling->base, fill_one, filling, err);
	if (!rc)
		rc = vt_record_index_fill_end(filling->to, err);
	vt_record_index_close(filling->to);
	return rc;
}

/* The old file's log goes first: behind the new file it would be taken for its own. */
static int swap(const char *made, const char *path, const char *dir, struct vt_err *err)
{
	char *wal = vt_asprintf("%s-wal", path), *shm = vt_asprintf("%s-shm", path);
	int rc;

	unlink(path);
	unlink(wal);
	unlink(shm);
	rc = vt_fs_rename(made, path, err);
	if (!rc)
		rc = vt_fs_sync_dir(dir, err);
	free(wal);
	free(shm);
	return rc;
}

int vt_store_rebuild(const char *dir, struct vt_rebuild *out,
	void (*refused)(void *ctx, const char *sentence), void *ctx, struct vt_err *err)
{
	struct filling f = { .out = out, .refused = refused, .ctx = ctx };
	char *base, *path, *made;
	int rc = vt_store_open(&f.s, dir, VT_STORE_NO_INDEX, err);

	*out = (struct vt_rebuild){ 0, 0 };
	if (rc)
		return rc;
	base = vt_path_join(f.s->dir, "records");
	path = vt_path_join(f.s->dir, "lineage.db");
	made = vt_store_tmp_path(f.s);
	f.base = base;
	remove_db(made);
	rc = vt_store_lock(f.s, err);
	if (!rc) {
		rc = fill(&f, made, err);
		if (!rc)
			rc = swap(made, path, f.s->dir, err);
		vt_store_unlock(f.s);
	}
	remove_db(made);
	vt_store_close(f.s);
	free(made);
	free(path);
	free(base);
	if (!rc && out->n_refused)
		rc = vt_err_set(err, VT_EINTEGRITY, "%s: %zu damaged records were left out", dir,
			out->n_refused);
	return rc;
}
