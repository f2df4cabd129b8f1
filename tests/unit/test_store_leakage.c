/* Who was trained and evaluated on, and what both share, from ancestries made by hand. */
#include "common/lineage/leakage.h"
#include "tests/check.h"

#include <stdlib.h>

#define A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define C "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"

static char one[] = "s1", two[] = "s2", three[] = "s3", nobody[] = "";

static struct vt_raw_file raw[] = {
	{ "scans", "s1/t1.nii.gz", A, one, 1 },
	{ "scans", "s2/t1.nii.gz", B, two, 1 },
	{ "scans", "s3/t1.nii", C, three, 1 },
	{ "scans", "s1/LICENSE", A, one, 1 },
	{ "scans", "s3/LICENSE", A, three, 1 },
	{ "labels", "s1/seg.nii.gz", B, one, 1 },
	{ "labels", "s3/seg.nii.gz", B, three, 1 },
	{ "scans", "readme.nii", A, nobody, 1 },
};

static struct vt_json *record(const char *text)
{
	struct vt_err err = VT_ERR_INIT;
	struct vt_json *j = NULL;

	vt_json_parse(&j, text, strlen(text), "record", &err);
	return j;
}

/* One execution that read everything, with these notes. */
static struct vt_ancestry made(struct vt_execution *e, const char *notes)
{
	*e = (struct vt_execution){ .record = record(notes),
		.raw = raw,
		.n_raw = sizeof(raw) / sizeof(raw[0]) };
	return (struct vt_ancestry){ .v = e, .n = 1, .n_roots = 1 };
}

static void what_was_noted_counts(void)
{
	struct vt_execution e;
	struct vt_ancestry a = made(&e,
		"{\"notes\":{\"split\":{\"train\":[\"s2\",\"s1\",\"s2\"],\"validation\":[\"s3\"]},"
		"\"subjects\":[\"s3\"]}}");
	struct vt_side train = VT_SIDE_INIT, chosen = VT_SIDE_INIT, test = VT_SIDE_INIT;
	struct vt_leak l;

	vt_side_trained(&train, &a, false);
	vt_side_trained(&chosen, &a, true);
	vt_side_evaluated(&test, &a);
	CHECK_EQ(train.subjects.n, 2);
	CHECK_EQ(train.n, 2); /* neither licenses nor label maps */
	CHECK_EQ(chosen.subjects.n, 3);
	CHECK_EQ(test.n, 1);
	vt_leak_find(&l, &train, &test);
	CHECK(!l.subjects.n && !l.n_volumes);
	vt_leak_release(&l);
	vt_leak_find(&l, &chosen, &test);
	CHECK(l.subjects.n == 1 && !l.n_volumes);
	vt_leak_release(&l);
	vt_side_release(&train);
	vt_side_release(&chosen);
	vt_side_release(&test);
	vt_json_free(e.record);
}

static void everybody_where_nothing_was_noted(void)
{
	struct vt_execution e;
	struct vt_ancestry a = made(&e, "{}");
	struct vt_side train = VT_SIDE_INIT;

	vt_side_trained(&train, &a, false);
	CHECK_EQ(train.subjects.n, 3);
	CHECK_EQ(train.n, 3);
	vt_side_release(&train);
	vt_json_free(e.record);
}

static void bytes_under_another_name(void)
{
	struct vt_side_volume t[] = { { A, one, one }, { A, two, two }, { B, two, two } },
			      v[] = { { A, three, three }, { B, two, two } };
	char *names[] = { one, two }, *others[] = { two, three };
	struct vt_side train = { .subjects = { names, 2, 2 }, .v = t, .n = 3, .cap = 3 },
		       test = { .subjects = { others, 2, 2 }, .v = v, .n = 2, .cap = 2 };
	struct vt_leak l;

	vt_leak_find(&l, &train, &test);
	CHECK_EQ(l.subjects.n, 1);
	CHECK_STR(l.subjects.v[0], "s2");
	CHECK_EQ(l.n_volumes, 2); /* A twice; B is that of the shared subject */
	CHECK(l.n_volumes == 2 && l.volume[0].training == &t[0] && l.volume[1].training == &t[1] &&
		l.volume[0].evaluation == &v[0] && l.volume[1].evaluation == &v[0]);
	vt_leak_release(&l);
}

int main(void)
{
	RUN(what_was_noted_counts);
	RUN(everybody_where_nothing_was_noted);
	RUN(bytes_under_another_name);
	return check_done();
}
