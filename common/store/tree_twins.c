/* Names of one directory that people take for one, in a tree that came from elsewhere: the same
 * rule as for directories that are committed (fileset_twins.c).  Twins are always entries of one
 * tree, so each text is looked at by itself.  Its names are sorted: a peer may send very many
 * twins, and the store is locked meanwhile. */
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/unicode.h"
#include "common/store/store_internal.h"
#include "common/store/tree_check.h"

/* In all else of a text there is neither a capital letter nor a byte that is not ASCII. */
static bool may_have_twins(const char *text, size_t n)
{
	bool may = false;

	for (size_t i = 0; i < n && !may; i++)
		may = (text[i] >= 'A' && text[i] <= 'Z') || (unsigned char)text[i] >= 0x80;
	return may;
}

/* An entry: equal folds are twins, and equal forms are one name. */
struct name {
	struct vt_digest fold, form;
	const char *at; /* len bytes in the text */
	size_t len;
};

struct names {
	struct name *v;
	size_t n, cap;
};

static struct vt_digest digest_of(char *owned)
{
	struct vt_digest d = vt_digest_bytes(owned, strlen(owned));

	free(owned);
	return d;
}

static void add_name(struct names *names, const struct vt_tree_line *line)
{
	char *name = vt_xstrndup(line->name, line->name_len);

	if (names->n == names->cap) {
		names->cap = names->cap ? 2 * names->cap : 64;
		names->v = vt_xrealloc(names->v, names->cap * sizeof(*names->v));
	}
	names->v[names->n++] = (struct name){ digest_of(vt_unicode_fold(name)),
		digest_of(vt_unicode_form(name)), line->name, line->name_len };
	free(name);
}

/* Twins together, in them the forms of one name, and those as they stand in the text. */
static int by_fold(const void *a, const void *b)
{
	const struct name *x = a, *y = b;
	int order = memcmp(x->fold.b, y->fold.b, sizeof(x->fold.b));

	if (!order)
		order = memcmp(x->form.b, y->form.b, sizeof(x->form.b));
	return order ? order : (x->at > y->at) - (x->at < y->at);
}

static int refuse_forms(const struct name *one, const struct name *other, struct vt_err *err)
{
	return vt_err_set(err, VT_EDATA,
		"\"%.*s\" and \"%.*s\" are one name in two Unicode forms; rename one where it "
		"comes from",
		(int)one->len, one->at, (int)other->len, other->at);
}

static void warn(const struct name *one, const struct name *other, size_t pairs, const char *said)
{
	if (one->at > other->at) {
		const struct name *swapped = one;

		one = other;
		other = swapped;
	}
	vt_log(VT_LOG_WARN, "case-twins",
		"tree=\"%s\" pairs=%zu one=\"%.*s\" other=\"%.*s\" note=\"they cannot be checked "
		"out together where a file system takes A for a\"",
		said, pairs, (int)one->len, one->at, (int)other->len, other->at);
}

/* Neighbors of the sorted names. */
static int compare(const struct names *names, const char *said, struct vt_err *err)
{
	const struct name *first = NULL; /* the second of a pair */
	size_t pairs = 0;

	for (size_t i = 1; i < names->n; i++) {
		const struct name *one = &names->v[i - 1], *other = &names->v[i];

		if (!vt_digest_equal(&one->fold, &other->fold))
			continue;
		if (vt_digest_equal(&one->form, &other->form))
			return refuse_forms(one, other, err);
		if (!pairs++)
			first = other;
	}
	if (pairs)
		warn(first - 1, first, pairs, said);
	return 0;
}

int vt_tree_text_twins(const char *text, size_t n, const char *said, struct vt_err *err)
{
	const char *at = strchr(text, '\n');
	struct names names = { NULL, 0, 0 };
	struct vt_tree_line line;
	int rc = 0;

	if (!at || !may_have_twins(text, n))
		return 0;
	for (at++; vt_tree_line_next(&at, &line, err) > 0;)
		add_name(&names, &line);
	if (names.n > 1)
		qsort(names.v, names.n, sizeof(*names.v), by_fold);
	rc = compare(&names, said, err);
	free(names.v);
	return rc;
}
