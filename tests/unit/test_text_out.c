/* Texts of unknown origin on a terminal, in a page and in a table. */
#include <stdlib.h>
#include <unistd.h>

#include "common/base/csv.h"
#include "common/base/fs.h"
#include "common/base/text_out.h"
#include "common/seg/evaluator.h"
#include "common/seg/report.h"
#include "tests/check.h"

static const char hostile[] = "<img src=x onerror=alert(1)>";

#define SAME(want, ...)                                                                            \
	do {                                                                                       \
		struct vt_buf b_ = VT_BUF_INIT;                                                    \
		vt_buf_str(&b_, "");                                                               \
		vt_buf_say(&b_, __VA_ARGS__);                                                      \
		CHECK_STR(b_.data, want);                                                          \
		vt_buf_release(&b_);                                                               \
	} while (0)

static void numbers_and_widths_are_printf_s(void)
{
	char want[256];

	snprintf(want, sizeof(want), "%5d|%-6s|%.3f|%08lx|%llu|%zu|%+d|%.2s|%*s|%-*s|%c|%%|%g", -42,
		"ab", 3.14159, 0xbeeful, 18446744073709551615ull, (size_t)7, 5, "abcdef", 6, "r", 4,
		"l", 'x', 1e300);
	SAME(want, "%5d|%-6s|%.3f|%08lx|%llu|%zu|%+d|%.2s|%*s|%-*s|%c|%%|%g", -42, "ab", 3.14159,
		0xbeeful, 18446744073709551615ull, (size_t)7, 5, "abcdef", 6, "r", 4, "l", 'x',
		1e300);
	snprintf(want, sizeof(want), "%.*s %i %u %hhd %ld %X %e", 3, "abcdef", -1, 7u,
		(signed char)3, -9l, 255u, 0.5);
	SAME(want, "%.*s %i %u %hhd %ld %X %e", 3, "abcdef", -1, 7u, (signed char)3, -9l, 255u,
		0.5);
	SAME("a\nb", "a\n%s", "b");
}

static void arguments_do_nothing_to_a_terminal(void)
{
	SAME("x\\n33 executions\\x1b[8m", "%s", "x\n33 executions\x1b[8m");
	SAME("\\t\\x0d\\x7f", "%s", "\t\r\x7f");
	SAME("\\xc2\\x9b1m", "%s",
		"\xc2\x9b"
		"1m");
	SAME("a\\xe2\\x80\\xaeb", "%s",
		"a\xe2\x80\xae"
		"b");
	SAME("\\xe2\\x81\\xa6", "%s", "\xe2\x81\xa6");
	SAME("M\xc3\xbcller \xe2\x82\xac \xe6\x97\xa5", "%s",
		"M\xc3\xbcller \xe2\x82\xac \xe6\x97\xa5");
	SAME("\\x1b", "%c", 0x1b);
	/* no UTF-8: a lone byte that commands an 8-bit terminal, a character that is cut */
	SAME("a\\x9b1m\\xe2\\x82", "%s",
		"a\x9b"
		"1m\xe2\x82");
}

static char *csv(const char *text)
{
	struct vt_buf b = VT_BUF_INIT;

	vt_csv_text(&b, text);
	return vt_buf_detach(&b);
}

static void csv_fields_are_one_field_and_no_formula(void)
{
	static const char *const cases[][2] = { { "sub-001", "sub-001" }, { "", "" },
		{ "=1+1,x", "\"'=1+1,x\"" }, { "+1", "\"'+1\"" }, { "-2", "\"'-2\"" },
		{ "@SUM(A1)", "\"'@SUM(A1)\"" }, { "a,b", "\"a,b\"" },
		{ "say \"x\"", "\"say \"\"x\"\"\"" }, { "a\nb", "a\\nb" },
		{ "\t=1", "\"'\\t=1\"" } };

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *got = csv(cases[i][0]);

		CHECK_STR(got, cases[i][1]);
		free(got);
	}
}

static void what_a_spreadsheet_is_kept_from_can_be_undone(void)
{
	static const char *const names[] = { "=1", "'=1", "''-1", "+", "'", "''a", "'a", "a=1", "",
		"-dash", "@x" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct vt_buf b = VT_BUF_INIT;
		struct vt_err err = VT_ERR_INIT;
		struct vt_csv t;

		vt_buf_str(&b, "name,n\n");
		vt_csv_text(&b, names[i]);
		vt_buf_str(&b, ",1\n");
		CHECK_EQ(vt_csv_parse(&t, b.data, b.len, "t", &err), 0);
		CHECK_STR(vt_csv_plain(vt_csv_cell(&t, 0, 0)), names[i]);
		CHECK(!*names[i] || !strchr("=+-@", *vt_csv_cell(&t, 0, 0)));
		vt_csv_release(&t);
		vt_buf_release(&b);
	}
}

/* A checkpoint that somebody else wrote, with markup where names belong. */
static int open_checkpoint(struct vt_checkpoint *c, char *dir, struct vt_err *err)
{
	static const char form[] =
		"{\"format\":1,\"manifest\":{\"format\":1,\"name\":\"%s\",\"channels\":[{\"role\":"
		"\"t1<b\",\"files\":[\"{subject}/t1.nii\"]}],\"label\":{\"files\":[\"{subject}/l."
		"nii\"],\"values\":{\"0\":\"none\",\"1\":\"one\"}},\"regions\":[{\"name\":\"%s\","
		"\"values\":[1]}]},\"model\":{\"name\":\"%s\"},\"channels\":[\"t1<b\"],\"regions\":"
		"[\"%s\"],\"patch\":[32,32,32],\"steps\":100}";
	char *path, *text = vt_asprintf(form, hostile, hostile, hostile, hostile);
	int rc;

	if (!mkdtemp(dir))
		abort();
	path = vt_path_join(dir, "checkpoint.json");
	rc = vt_fs_write_quick(path, text, strlen(text), 0644, err);
	if (!rc)
		rc = vt_checkpoint_open(c, dir, err);
	free(path);
	free(text);
	return rc;
}

static void a_report_runs_and_loads_nothing(void)
{
	char dir[] = "/tmp/voxtrail-report-XXXXXX";
	struct vt_member m = { .dir = (char[]){ "m" } };
	struct vt_segmenter s = { .member = &m, .n = 1, .first = &m.checkpoint };
	struct vt_buf page = VT_BUF_INIT;
	struct vt_err err = VT_ERR_INIT;
	struct vt_evaluation e = { .segmenter = &s };

	CHECK_EQ(open_checkpoint(&m.checkpoint, dir, &err), 0);
	if (!err.code) {
		e.manifest = m.checkpoint.manifest;
		CHECK_EQ(vt_report_html(&page, &e, "step,loss\n0,1\n", &err), 0);
		CHECK(!strstr(page.data, "<img src=x") && !strstr(page.data, "t1<b"));
		CHECK(strstr(page.data, "&lt;img src=x onerror=alert(1)&gt;"));
		CHECK(strstr(page.data,
			"http-equiv=\"Content-Security-Policy\" content=\"default-src 'none';"));
		CHECK(!strstr(page.data, "<script") && !strstr(page.data, "http://") &&
			!strstr(page.data, "https://"));
		vt_checkpoint_close(&m.checkpoint);
	}
	vt_buf_release(&page);
	vt_fs_remove_tree(dir, &err);
}

static void html_arguments_are_text(void)
{
	struct vt_buf b = VT_BUF_INIT;

	vt_html_say(&b, "<a href='%s'>%.4s %d</a>", "x' onclick='y", "<b>&", 3);
	CHECK_STR(b.data, "<a href='x&#39; onclick=&#39;y'>&lt;b&gt;&amp; 3</a>");
	vt_buf_release(&b);
}

static void markdown(void)
{
	struct vt_buf b = VT_BUF_INIT;

	vt_markdown_say(&b, "| %s | %d |", "W\n# forged | [a](x) <b>`*\\", 7);
	CHECK_STR(b.data, "| W\\\\n# forged \\| \\[a\\](x) \\<b\\>\\`\\*\\\\ | 7 |");
	vt_buf_clear(&b);
	vt_markdown_text(&b, "# no heading");
	CHECK_STR(b.data, "\\# no heading");
	vt_buf_clear(&b);
	vt_markdown_text(&b, "_x_ ~~y~~ &lt;");
	CHECK_STR(b.data, "\\_x\\_ \\~\\~y\\~\\~ \\&lt;");
	vt_buf_release(&b);
}

int main(void)
{
	RUN(markdown);
	RUN(numbers_and_widths_are_printf_s);
	RUN(arguments_do_nothing_to_a_terminal);
	RUN(csv_fields_are_one_field_and_no_formula);
	RUN(what_a_spreadsheet_is_kept_from_can_be_undone);
	RUN(html_arguments_are_text);
	RUN(a_report_runs_and_loads_nothing);
	return check_done();
}
