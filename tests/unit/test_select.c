/* Which scores are kept, against a count of all pairs; names that people take for one. */
#include <stdlib.h>

#include "common/base/fs.h"
#include "common/content/twins.h"
#include "common/seg/select.h"
#include "tests/check.h"

static size_t group_of(const char *name, const char *separator)
{
	const char *at = *separator ? strstr(name, separator) : NULL;

	if (!*separator)
		return 0;
	return at ? (size_t)(at - name) : strlen(name);
}

/* By the words of the params: so many of a group are better. */
static bool is_kept(const struct vt_scored *s, size_t n, size_t i, const struct vt_select_opts *o)
{
	size_t ahead = 0, all = 0, mine = group_of(s[i].name, o->group), most;

	for (size_t k = 0; k < n; k++) {
		bool better = o->low_is_better ? s[k].score < s[i].score : s[k].score > s[i].score,
		     worse = o->low_is_better ? s[k].score > s[i].score : s[k].score < s[i].score;

		if (group_of(s[k].name, o->group) != mine || strncmp(s[k].name, s[i].name, mine))
			continue;
		all++;
		ahead += better || (!worse && strcmp(s[k].name, s[i].name) < 0);
	}
	most = (size_t)ceil((double)all * o->keep_share - 1e-9);
	most = most ? most : 1;
	if (o->has_limit && (o->low_is_better ? s[i].score > o->limit : s[i].score < o->limit))
		return false;
	return ahead < most && (!o->keep_best || ahead < o->keep_best) &&
		ahead + o->drop_worst < all;
}

static struct vt_scored *some(size_t n, size_t n_groups, unsigned long long seed)
{
	struct vt_scored *s = vt_xcalloc(n, sizeof(*s));

	for (size_t i = 0; i < n; i++) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		s[i].name = vt_asprintf("g%zu%s%05zu", i % n_groups, i % 17 ? "_" : "", i);
		s[i].score = (double)(seed >> 59) / 8 - 1; /* with many equal ones */
	}
	return s;
}

static void kept_as_counted(void)
{
	static const char *const groups[] = { "", "_", "nowhere" };
	enum { N = 83 };

	for (unsigned round = 0; round < 480; round++) {
		const struct vt_select_opts o = { .low_is_better = round & 1,
			.keep_best = round % 5,
			.drop_worst = round % 7 / 2,
			.keep_share = round % 4 ? 0.1 * (round % 11) : 1,
			.has_limit = round % 3 == 0,
			.limit = 0.25,
			.group = groups[round % 3] };
		struct vt_scored *s = some(N, 1 + round % 6, round);
		size_t wrong = 0;

		vt_select(s, N, &o);
		for (size_t i = 0; i < N; i++)
			wrong += s[i].kept != is_kept(s, N, i, &o);
		CHECK_EQ(wrong, 0);
		vt_scores_free(s, N);
	}
	vt_select(NULL, 0, &(struct vt_select_opts){ .group = "" });
}

/* Comparing all pairs takes minutes. */
static void many_are_no_matter(void)
{
	enum { N = 300000 };
	struct vt_scored *s = some(N, 3, 1);
	struct vt_twins twins = VT_TWINS_INIT;
	struct vt_err err = VT_ERR_INIT;
	char **name = vt_xcalloc(N, sizeof(*name));
	size_t kept = 0;

	vt_select(s, N, &(struct vt_select_opts){ .keep_best = 7, .keep_share = 1, .group = "_" });
	for (size_t i = 0; i < N; i++)
		kept += s[i].kept && strchr(s[i].name, '_');
	CHECK_EQ(kept, 3 * 7);
	vt_scores_free(s, N);
	/* pairs, of which none is ASCII */
	for (size_t i = 0; i < N; i++) {
		name[i] = vt_asprintf("%c\xc3\xa4%zu", i % 2 ? 'a' : 'A', i / 2);
		vt_twins_add(&twins, name[i], strlen(name[i]));
	}
	CHECK_EQ(vt_twins_check(&twins, "dir", "d", &err), 0);
	vt_twins_release(&twins);
	for (size_t i = 0; i < N; i++)
		free(name[i]);
	free(name);
}

static void found_by_name(void)
{
	char a[] = "a", ab[] = "ab", b[] = "b";
	struct vt_scored s[] = { { a, 1, 1, false }, { ab, 2, 1, false }, { b, 3, 1, false } };

	for (size_t i = 0; i < 3; i++)
		CHECK(vt_scores_find(s, 3, s[i].name) == &s[i]);
	CHECK(!vt_scores_find(s, 3, "aa") && !vt_scores_find(s, 3, "") &&
		!vt_scores_find(NULL, 0, "a"));
}

/* U+00E4 and a with U+0308 are one name, whatever the case of others; the first such pair is
 * named. */
static void forms_are_refused_and_cases_said(void)
{
	static const char *const names[] = { "x\xc3\xa4", "X\xc3\xa4", "y", "Xa\xcc\x88",
		"xa\xcc\x88" };

	for (size_t n = 1; n <= 5; n++) {
		struct vt_twins twins = VT_TWINS_INIT;
		struct vt_err err = VT_ERR_INIT;

		for (size_t i = 0; i < n; i++)
			vt_twins_add(&twins, names[i], strlen(names[i]));
		CHECK_EQ(vt_twins_check(&twins, "dir", "d", &err), n < 4 ? 0 : VT_EDATA);
		if (n >= 4)
			CHECK_STR(err.text,
				"\"X\xc3\xa4\" and \"Xa\xcc\x88\" are one name in two Unicode "
				"forms; rename one");
		vt_twins_release(&twins);
	}
}

int main(void)
{
	RUN(kept_as_counted);
	RUN(many_are_no_matter);
	RUN(found_by_name);
	RUN(forms_are_refused_and_cases_said);
	return check_done();
}
