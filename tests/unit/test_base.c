#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/base64.h"
#include "common/base/buf.h"
#include "common/base/fmath.h"
#include "common/base/fs.h"
#include "common/base/opts.h"
#include "common/base/parallel.h"
#include "common/base/rng.h"
#include "tests/check.h"

/* Known answers of the Random123 distribution (kat_vectors, philox4x32 10). */
static void philox_known_answers(void)
{
	static const struct {
		uint32_t counter[4], key[2], want[4];
	} kat[] = {
		{ { 0, 0, 0, 0 }, { 0, 0 }, { 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8 } },
		{ { ~0u, ~0u, ~0u, ~0u }, { ~0u, ~0u },
			{ 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd } },
		{ { 0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344 }, { 0xa4093822, 0x299f31d0 },
			{ 0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1 } },
	};

	for (size_t i = 0; i < 3; i++) {
		uint32_t out[4];

		vt_philox(out, kat[i].counter, kat[i].key);
		CHECK(!memcmp(out, kat[i].want, sizeof(out)));
	}
}

static void normal_moments(void)
{
	struct vt_rng r = vt_rng_stream(7, "test", 1, 2, 3);
	double sum = 0, squares = 0;
	enum { N = 200000 };

	for (int i = 0; i < N; i++) {
		double x = vt_rng_normal(&r);

		sum += x;
		squares += x * x;
	}
	CHECK_NEAR(sum / N, 0, 0.01);
	CHECK_NEAR(squares / N, 1, 0.015);
}

static void below_is_in_range_and_even(void)
{
	struct vt_rng r = vt_rng_stream(1, "below", 0, 0, 0);
	int count[7] = { 0 };

	for (int i = 0; i < 70000; i++)
		count[vt_rng_below(&r, 7)]++;
	for (int i = 0; i < 7; i++)
		CHECK(abs(count[i] - 10000) < 500);
}

static void square_into_slot(void *ctx, size_t i)
{
	((size_t *)ctx)[i] += i * i;
}

static void loop_visits_each_index_once(void)
{
	static size_t slot[10007];

	for (unsigned threads = 1; threads <= 5; threads++) {
		memset(slot, 0, sizeof(slot));
		vt_parallel_set_threads(threads);
		for (int again = 0; again < 20; again++)
			vt_parallel_for(10007, square_into_slot, slot);
		for (size_t i = 0; i < 10007; i++)
			if (slot[i] != 20 * i * i) {
				CHECK_FAIL("threads %u index %zu: %zu", threads, i, slot[i]);
				break;
			}
	}
}

static void outer(void *ctx, size_t i)
{
	vt_parallel_for(100, square_into_slot, (size_t *)ctx + 100 * i);
}

static void loop_inside_a_loop(void)
{
	static size_t slot[800];

	vt_parallel_set_threads(3);
	vt_parallel_for(8, outer, slot);
	CHECK_EQ(slot[799], 99 * 99);
}

/* Every exponent and sign of a float, infinity and NaN among them. */
static void functions_of_many_values_are_those_of_one(void)
{
	enum { N = 1 << 16 };
	float *x = vt_xmalloc(N * sizeof(*x)), *sigmoid = vt_xmalloc(N * sizeof(*x));
	double *softplus = vt_xmalloc(N * sizeof(*softplus));
	size_t differ = 0;

	for (uint32_t i = 0; i < N; i++) {
		uint32_t bits = i << 16 | (i * 40503u & 0xffffu);

		memcpy(&x[i], &bits, sizeof(bits));
		softplus[i] = (double)x[i];
	}
	vt_sigmoidf_all(sigmoid, x, N);
	vt_softplus_of_minus_all(softplus, N);
	for (size_t i = 0; i < N; i++) {
		double z = (double)x[i], one = vt_ln(1.0 + vt_exp(z > 0 ? -z : z));
		float s = vt_sigmoidf(x[i]);

		one += z < 0 ? -z : 0;
		if (z != z)
			differ += sigmoid[i] == sigmoid[i] || softplus[i] == softplus[i];
		else
			differ += memcmp(&s, &sigmoid[i], sizeof(s)) != 0 ||
				memcmp(&one, &softplus[i], sizeof(one)) != 0;
	}
	CHECK(!differ);
	free(x);
	free(sigmoid);
	free(softplus);
}

static void portable_paths(void)
{
	CHECK(vt_path_is_portable("sub-001/t1.nii.gz") && vt_path_is_portable(".lineage/x"));
	CHECK(!vt_path_is_portable("a//b") && !vt_path_is_portable("../x") &&
		!vt_path_is_portable("a*") && !vt_path_is_portable("/a"));
	CHECK(!vt_path_is_portable("\xc3\xb6") && !vt_path_is_portable("a/./b") &&
		!vt_path_is_portable(""));
}

static int collect(void *ctx, const char *relative, char type, struct vt_err *err)
{
	(void)err;
	vt_buf_printf(ctx, "%c:%s ", type, relative);
	return 0;
}

static void files_written_listed_walked_removed(void)
{
	struct vt_err err = VT_ERR_INIT;
	struct vt_buf b = VT_BUF_INIT;
	char dir[] = "/tmp/vt-test-XXXXXX";
	char *sub, *file;

	CHECK(mkdtemp(dir) != NULL);
	sub = vt_path_join(dir, "b/c");
	file = vt_path_join(sub, "z");
	CHECK_EQ(vt_fs_mkdirs(sub, &err), 0);
	CHECK_EQ(vt_fs_write(file, "hello", 5, 0644, &err), 0);
	CHECK_EQ(vt_fs_read(&b, file, 5, &err), 0);
	CHECK_STR(b.data, "hello");
	CHECK_EQ(vt_fs_read(&b, file, 4, &err), VT_EDATA);
	vt_buf_clear(&b);
	CHECK_EQ(vt_fs_walk(dir, collect, &b, &err), 0);
	CHECK_STR(b.data, "d:b d:b/c f:b/c/z ");
	CHECK_EQ(vt_fs_remove_tree(dir, &err), 0);
	CHECK(!vt_fs_exists(dir));
	vt_buf_release(&b);
	free(sub);
	free(file);
}

static void options(void)
{
	const char *out = NULL;
	long long n = 0;
	int all = 0;
	const struct vt_opt opts[] = { { 'o', "out", VT_OPT_STRING, &out, "DIR", "where" },
		{ 0, "number", VT_OPT_INT, &n, "N", "how many" },
		{ 'a', "all", VT_OPT_FLAG, &all, NULL, "all" }, { 0 } };
	static char good_text[][12] = { "x", "-oD", "--number=3", "-a", "file", "--", "--y" },
		    bad_text[][12] = { "--nmuber", "--number", "3x" };
	char *good[7], *bad[] = { good_text[0], bad_text[0], bad_text[2] },
		       *nan[] = { good_text[0], bad_text[1], bad_text[2] };
	struct vt_strs rest = VT_STRS_INIT;
	struct vt_err err = VT_ERR_INIT;

	for (int i = 0; i < 7; i++)
		good[i] = good_text[i];
	CHECK_EQ(vt_opts_parse(opts, 7, good, &rest, &err), 0);
	CHECK(rest.n == 2 && !strcmp(rest.v[1], "--y") && n == 3 && all && !strcmp(out, "D"));
	CHECK_EQ(vt_opts_parse(opts, 3, bad, &rest, &err), VT_EUSAGE);
	CHECK(strstr(err.text, "did you mean --number") != NULL);
	CHECK_EQ(vt_opts_parse(opts, 3, nan, &rest, &err), VT_EUSAGE);
	vt_strs_release(&rest);
}

static void a_long_error_is_cut_with_dots(void)
{
	struct vt_err err = VT_ERR_INIT;
	char text[3000];

	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	CHECK_EQ(vt_err_set(&err, VT_EDATA, "%s", text), VT_EDATA);
	CHECK(strlen(err.text) == VT_ERR_TEXT - 1 && !strcmp(err.text + VT_ERR_TEXT - 4, "..."));
	vt_err_set(&err, VT_EIO, "cannot read");
	CHECK_EQ(vt_err_prefix(&err, "subject %d", 3), VT_EIO);
	CHECK_STR(err.text, "subject 3: cannot read");
}

/* RFC 4648, section 10. */
static void base64_vectors(void)
{
	static const char *const v[][2] = { { "", "" }, { "f", "Zg==" }, { "fo", "Zm8=" },
		{ "foo", "Zm9v" }, { "foob", "Zm9vYg==" }, { "fooba", "Zm9vYmE=" },
		{ "foobar", "Zm9vYmFy" } };
	static const char *const bad[] = { "Z", "Zg=", "Zg", "Z===", "Zm9v!mFy", "=m9v" };
	struct vt_buf b = VT_BUF_INIT;

	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
		vt_buf_clear(&b);
		vt_base64(&b, v[i][0], strlen(v[i][0]));
		CHECK_STR(b.data, v[i][1]);
		vt_buf_clear(&b);
		CHECK(vt_base64_decode(&b, v[i][1]) && b.len == strlen(v[i][0]) &&
			!memcmp(b.data, v[i][0], b.len));
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		vt_buf_clear(&b);
		CHECK(!vt_base64_decode(&b, bad[i]));
	}
	vt_buf_release(&b);
}

/* An option's name may be written with '_'; other names are answered with the right one. */
static void option_names(void)
{
	static const char *const asked[][2] = { { "--lr", "--learning-rate" },
		{ "--rate", "--learning-rate" }, { "--normalise", "--normalize" },
		{ "--learning-rat", "--learning-rate" } };
	double rate = 0;
	const char *rule = NULL;
	struct vt_strs rest = VT_STRS_INIT;
	struct vt_err err = VT_ERR_INIT;
	const struct vt_opt opts[] = { { 0, "learning-rate", VT_OPT_REAL, &rate, "X", "step" },
		{ 0, "normalize", VT_OPT_STRING, &rule, "RULE", "rule" }, VT_OPTS_END };
	char *good[] = { (char[]){ "x" }, (char[]){ "--learning_rate" }, (char[]){ "0.5" },
		(char[]){ "--normalize=zscore" } };
	char *twice[] = { (char[]){ "x" }, (char[]){ "--learning-rate=1" },
		(char[]){ "--learning_rate=2" } };

	CHECK_EQ(vt_opts_parse(opts, 4, good, &rest, &err), 0);
	CHECK(rate == 0.5 && !strcmp(rule, "zscore") && !rest.n);
	CHECK_EQ(vt_opts_parse(opts, 3, twice, &rest, &err), VT_EUSAGE);
	CHECK(strstr(err.text, "--learning-rate is given twice") != NULL);
	for (size_t i = 0; i < sizeof(asked) / sizeof(*asked); i++) {
		char *argv[] = { (char[]){ "x" }, (char *)asked[i][0], (char[]){ "1" } };

		err = (struct vt_err)VT_ERR_INIT;
		CHECK_EQ(vt_opts_parse(opts, 3, argv, &rest, &err), VT_EUSAGE);
		CHECK(strstr(err.text, asked[i][1]) != NULL);
	}
	vt_strs_release(&rest);
}

int main(void)
{
	RUN(philox_known_answers);
	RUN(normal_moments);
	RUN(below_is_in_range_and_even);
	RUN(loop_visits_each_index_once);
	RUN(loop_inside_a_loop);
	RUN(functions_of_many_values_are_those_of_one);
	RUN(portable_paths);
	RUN(files_written_listed_walked_removed);
	RUN(options);
	RUN(option_names);
	RUN(a_long_error_is_cut_with_dots);
	RUN(base64_vectors);
	return check_done();
}
