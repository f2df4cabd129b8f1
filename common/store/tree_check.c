#include "common/store/tree_check.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/store/store_internal.h"

static const char first_line[] = "voxtree 1\n";

/* --- the map ------------------------------------------------------------- */
static struct vt_tree_sum *slot_of(const struct vt_tree_sums *sums, const struct vt_digest *id)
{
	size_t at;

	memcpy(&at, id->b, sizeof(at));
	for (at &= sums->cap - 1; sums->slot[at].used; at = (at + 1) & (sums->cap - 1))
		if (vt_digest_equal(&sums->slot[at].id, id))
			break;
	return &sums->slot[at];
}

static const struct vt_tree_sum *find(const struct vt_tree_sums *sums, const struct vt_digest *id)
{
	const struct vt_tree_sum *s = sums->cap ? slot_of(sums, id) : NULL;

	return s && s->used ? s : NULL;
}

static void keep(struct vt_tree_sums *sums, const struct vt_tree_sum *sum)
{
	struct vt_tree_sums old = *sums;

	if (2 * (sums->n + 1) > sums->cap) {
		sums->cap = old.cap ? 2 * old.cap : 256;
		sums->slot = vt_xcalloc(sums->cap, sizeof(*sums->slot));
		for (size_t i = 0; i < old.cap; i++)
			if (old.slot[i].used)
				*slot_of(sums, &old.slot[i].id) = old.slot[i];
		free(old.slot);
	}
	sums->n += !slot_of(sums, &sum->id)->used;
	*slot_of(sums, &sum->id) = *sum;
}

void vt_tree_sums_release(struct vt_tree_sums *sums)
{
	free(sums->slot);
	*sums = (struct vt_tree_sums)VT_TREE_SUMS_INIT;
}

/* --- one text ------------------------------------------------------------ */

struct checking {
	struct vt_store *s;
	struct vt_tree_sums *sums;
	struct vt_err *err;
};

static int sum_up(struct checking *checking, const struct vt_digest *id, struct vt_tree_sum *out,
	int depth);

static int bad(struct checking *checking, const struct vt_tree_line *line, const char *what)
{
	return vt_err_set(checking->err, VT_EINTEGRITY, "its entry \"%.*s\" %s",
		(int)(line->name_len < 80 ? line->name_len : 80), line->name, what);
}

/* The bytes of the line must be those that its meaning makes. */
static bool is_canonical(const struct vt_tree_line *line, const char *from, const char *to)
{
	char hex[VT_HEX], *text;
	bool same;

	vt_digest_hex(hex, &line->digest);
	text = vt_asprintf("%c %s %llu %.*s\n", line->type, hex, (unsigned long long)line->size,
		(int)line->name_len, line->name);
	same = strlen(text) == (size_t)(to - from) && !memcmp(text, from, strlen(text));
	free(text);
	return same;
}

static int check_name(struct checking *checking, const struct vt_tree_line *line,
	const struct vt_tree_line *before)
{
	char *name = vt_xstrndup(line->name, line->name_len);
	size_t n = before->name_len < line->name_len ? before->name_len : line->name_len;
	int rc = vt_tree_check_name(NULL, name, checking->err), order;

	free(name);
	if (rc)
		return checking->err->code = VT_EINTEGRITY;
	if (!before->name)
		return 0;
	order = memcmp(before->name, line->name, n);
	return order < 0 || (!order && before->name_len < line->name_len)
		? 0
		: bad(checking, line, "is not in order, or there twice");
}

static int check_file(struct checking *checking, const struct vt_tree_line *line)
{
	char *path = vt_store_path(checking->s, "objects", &line->digest);
	struct stat st;
	bool other = !stat(path, &st) && (uint64_t)st.st_size != line->size;

	free(path);
	return other ? bad(checking, line, "states another size than its file has") : 0;
}

static int add_line(struct checking *checking, const struct vt_tree_line *line,
	struct vt_tree_sum *out, int depth)
{
	struct vt_tree_sum below = { .files = 1 };
	size_t path;

	if (line->type == 'd') {
		if (sum_up(checking, &line->digest, &below, depth + 1))
			return checking->err->code;
		if (!below.files)
			return bad(checking, line, "is an empty directory");
		if (below.size != line->size)
			return bad(checking, line, "states another size than its files have");
	} else if (check_file(checking, line)) {
		return checking->err->code;
	}
	path = line->name_len + (below.longest ? 1 + below.longest : 0);
	if (path > VT_TREE_PATH)
		return bad(checking, line, "makes a path of more than 4096 bytes");
	if (out->files + below.files > VT_TREE_FILES || out->size + line->size < out->size)
		return bad(checking, line, "makes a tree of more files than any could have");
	out->files += below.files;
	out->size += line->size;
	out->longest = path > out->longest ? path : out->longest;
	return 0;
}

static int read_lines(struct checking *checking, const char *text, size_t n,
	struct vt_tree_sum *out, int depth)
{
	struct vt_tree_line line = { .name = NULL }, before = { .name = NULL };
	const char *at = text + sizeof(first_line) - 1, *from = at;
	int more = 0, rc = 0;

	if (n < sizeof(first_line) - 1 || memcmp(text, first_line, sizeof(first_line) - 1) ||
		memchr(text, '\0', n))
		return vt_err_set(checking->err, VT_EINTEGRITY, "not the text of a tree");
	while (!rc && (more = vt_tree_line_next(&at, &line, checking->err)) > 0) {
		rc = is_canonical(&line, from, at)
			? check_name(checking, &line, &before)
			: bad(checking, &line, "is not in canonical form");
		if (!rc)
			rc = add_line(checking, &line, out, depth);
		before = line;
		from = at;
	}
	if (rc)
		return rc;
	if (more < 0)
		return checking->err->code;
	return 0;
}

/* Depth is bounded by the longest path, as each level has a name of one byte at least. */
static int sum_up(struct checking *checking, const struct vt_digest *id, struct vt_tree_sum *out,
	int depth)
{
	const struct vt_tree_sum *known = find(checking->sums, id);
	struct vt_buf text = VT_BUF_INIT;
	const char *lines = NULL;
	int rc;

	if (known) {
		*out = *known;
		return 0;
	}
	*out = (struct vt_tree_sum){ .id = *id, .used = true };
	if (depth > VT_TREE_PATH / 2)
		return vt_err_set(checking->err, VT_EINTEGRITY,
			"directories are nested more than %d deep", VT_TREE_PATH / 2);
	rc = vt_store_tree_text(checking->s, &text, &lines, id, checking->err);
	if (!rc)
		rc = read_lines(checking, text.data, text.len, out, depth);
	if (!rc)
		keep(checking->sums, out);
	vt_buf_release(&text);
	return rc;
}

int vt_tree_text_check(struct vt_store *store, const char *text, size_t n,
	struct vt_tree_sums *sums, struct vt_err *err)
{
	struct checking c = { store, sums, err };
	struct vt_tree_sum sum = { .id = vt_digest_bytes(text, n), .used = true };
	int rc = find(sums, &sum.id) ? 0 : read_lines(&c, text, n, &sum, 0);

	if (!rc && !find(sums, &sum.id))
		keep(sums, &sum);
	return rc;
}
