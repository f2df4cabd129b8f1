/* Names a tree takes and refuses; trees from lists. */
#include "common/content/tree.h"
#include "tests/check.h"

static int verdict(const char *path)
{
	struct vt_err err = VT_ERR_INIT;

	return vt_tree_check_name(NULL, path, &err);
}

static void portable_names(void)
{
	static const char *const good[] = { "a", "sub-001/anat/sub-001_T1w.nii.gz",
		("gr\xc3\xb6\xc3\x9f"
		 "e.txt"),
		"a b,c=d;e~f#g%h&i'j", "...", ".hidden", "\xe8\x84\xb3/\xf0\x9f\xa7\xa0", "T1 (2)",
		"i+j@3T", "e!", "k^", "@(a|b)", "+(x)" };

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		if (verdict(good[i]))
			CHECK_FAIL("\"%s\" is refused", good[i]);
}

static void names_that_are_refused(void)
{
	static const char *const bad[] = { "", "/a", "a/", "a//b", ".", "..", "a/../b", "./a",
		"a\xff", "\xc3", "\xc3/x", "\xc0\xaf", "\xe0\x80\x80", "\xed\xa0\x80",
		"\xf4\x90\x80\x80", "\x80", "a\nb", "a\x7f", "a\xc2\x85",
		("\xef\xbb\xbf"
		 "bom"),
		"a\\b", "a*", "b?", "c[1]", "d{1}", "}" };
	char name[300];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (verdict(bad[i]) != VT_EDATA)
			CHECK_FAIL("name %zu, \"%s\", is taken", i, bad[i]);
	memset(name, 'n', 255);
	name[255] = '\0';
	CHECK_EQ(verdict(name), 0);
	name[255] = 'n';
	name[256] = '\0';
	CHECK_EQ(verdict(name), VT_EDATA);
}

static void every_byte_is_judged_alone(void)
{
	for (int b = 1; b < 256; b++) {
		char name[3] = { 'a', (char)b, 0 };
		int want =
			b < 0x20 || b >= 0x7f || b == '/' || strchr("\\*?[]{}", b) ? VT_EDATA : 0;

		CHECK_EQ(verdict(name), want);
	}
}

static void lists_with_bad_paths(void)
{
	struct vt_err err = VT_ERR_INIT;
	struct vt_tree *t = NULL;
	char up[] = "../up", a[] = "a", deep[] = "a/b";
	struct vt_tree_file f[2] = { { .path = up }, { .path = a } };

	CHECK_EQ(vt_tree_from_files(&t, f, 1, &err), VT_EDATA);
	CHECK(strstr(err.text, "../up"));
	f[0].path = a;
	CHECK_EQ(vt_tree_from_files(&t, f, 2, &err), VT_EDATA);
	f[0].path = deep;
	CHECK_EQ(vt_tree_from_files(&t, f, 2, &err), VT_EDATA);
	CHECK(t == NULL);
}

int main(void)
{
	RUN(portable_names);
	RUN(names_that_are_refused);
	RUN(every_byte_is_judged_alone);
	RUN(lists_with_bad_paths);
	return check_done();
}
