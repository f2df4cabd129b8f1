#include <stdlib.h>
#include <time.h>

#include "common/base/json.h"
#include "common/base/utf8.h"
#include "tests/check.h"

static int parses(const char *text)
{
	struct vt_err err = VT_ERR_INIT;
	struct vt_json *j = NULL;
	int rc = vt_json_parse(&j, text, strlen(text), "t", &err);

	if (!rc)
		vt_json_free(j);
	return rc == 0;
}

static char *canonical(const char *text)
{
	struct vt_err err = VT_ERR_INIT;
	struct vt_buf out = VT_BUF_INIT;
	struct vt_json *j = NULL;

	if (vt_json_parse(&j, text, strlen(text), "t", &err) || vt_json_canonical(&out, j, &err)) {
		vt_buf_clear(&out);
		vt_buf_str(&out, err.text);
	}
	vt_json_free(j);
	return vt_buf_detach(&out);
}

static void refuses_what_is_not_json(void)
{
	static const char *const bad[] = { "", "{", "[1,]", "{\"a\":1,}", "01", "1.", ".5", "+1",
		"1e", "nul", "\"\n\"", "\"\\x\"", "\"\\ud800\"", "\"\\udc00x\"", "\"\xff\"",
		"\"\xc0\x80\"", "\"\xed\xa0\x80\"", "[1] 2", "{\"a\":1,\"a\":2}", "// c\n1",
		"\"\\u0000\"", "1e999", "{1:2}", "\"abc" };

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (parses(bad[i]))
			CHECK_FAIL("accepted %s", bad[i]);
}

static void depth_is_bounded(void)
{
	char deep[200];

	memset(deep, '[', 100);
	memset(deep + 100, ']', 99);
	deep[199] = '\0';
	CHECK(!parses(deep));
}

static void messages_name_line_and_pointer(void)
{
	struct vt_err err = VT_ERR_INIT;
	struct vt_json *j = NULL;
	const char *text = "{\"a\": [1,\n  {\"b~/\": x}]}";

	CHECK_EQ(vt_json_parse(&j, text, strlen(text), "spec.json", &err), VT_EDATA);
	CHECK(strstr(err.text, "spec.json:2:") && strstr(err.text, "\"/a/1/b~0~1\""));
}

/* The sorting example of RFC 8785 section 3.2.3, without its \u0080 control name. */
static void canonical_sorts_by_utf16(void)
{
	char *c = canonical("{\"\\u20ac\":1,\"\\r\":2,\"\\ufb33\":3,\"1\":4,\"\\ud83d\\ude00\":5,"
			    "\"\\u00f6\":6}");

	CHECK_STR(c,
		"{\"\\r\":2,\"1\":4,\"\xc3\xb6\":6,\"\xe2\x82\xac\":1,\"\xf0\x9f\x98\x80\":5,"
		"\"\xef\xac\xb3\":3}");
	free(c);
}

static void canonical_escapes(void)
{
	char *c = canonical("[\"\\u000f\\u000a\\\"\\\\\\/\\b\", true, null, -0, 12]");

	CHECK_STR(c, "[\"\\u000f\\n\\\"\\\\/\\b\",true,null,0,12]");
	free(c);
}

static void canonical_refuses_reals(void)
{
	char *c = canonical("{\"x\":[1.5]}");

	CHECK(strstr(c, "real number"));
	free(c);
}

static void reals_read_back(void)
{
	static const double v[] = { 0.1, 1.0 / 3, 1e-300, 123456789.125, 5e-324,
		1.7976931348623157e308 };
	char text[32];

	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
		vt_json_real_text(text, v[i]);
		CHECK(strtod(text, NULL) == v[i]);
	}
	vt_json_real_text(text, 0.1);
	CHECK_STR(text, "0.1");
}

static void pointers_and_getters(void)
{
	struct vt_err err = VT_ERR_INIT;
	struct vt_json *j = NULL;
	const char *text = "{\"a\":{\"b\":[10,\"x\",2.5,true]}}";

	CHECK_EQ(vt_json_parse(&j, text, strlen(text), "t", &err), 0);
	CHECK_EQ(vt_json_integer(vt_json_pointer(j, "/a/b/0"), -1), 10);
	CHECK_STR(vt_json_text(vt_json_pointer(j, "/a/b/1"), ""), "x");
	CHECK(vt_json_number(vt_json_pointer(j, "/a/b/2"), 0) == 2.5);
	CHECK(vt_json_true(vt_json_pointer(j, "/a/b/3"), false));
	CHECK(!vt_json_pointer(j, "/a/b/4") && !vt_json_pointer(j, "/a/c") &&
		!vt_json_pointer(j, "/a/b/01"));
	vt_json_free(j);
}

static void nothing_copies_to_nothing(void)
{
	struct vt_json *o = vt_json_new(VT_JSON_OBJECT), *a = vt_json_new(VT_JSON_ARRAY);

	CHECK(!vt_json_copy(NULL));
	vt_json_put_int(o, "x", 1);
	vt_json_put(o, "x", vt_json_copy(vt_json_get(o, "absent")));
	vt_json_put(o, "y", NULL);
	vt_json_push(a, NULL);
	CHECK_EQ(vt_json_integer(vt_json_get(o, "x"), 0), 1);
	CHECK(o->n == 1 && a->n == 0);
	vt_json_free(o);
	vt_json_free(a);
}

/* Processor seconds of reading n members or values in one container. */
static double time_to_read(bool object, int n)
{
	char open = object ? '{' : '[', close = object ? '}' : ']';
	struct vt_buf text = VT_BUF_INIT;
	struct vt_err err = VT_ERR_INIT;
	struct vt_json *j = NULL;
	clock_t begun;

	vt_buf_char(&text, open);
	for (int i = 0; i < n; i++) {
		vt_buf_str(&text, i ? ",\n" : "");
		if (object)
			vt_buf_printf(&text, "\"key-%d\": ", i);
		vt_buf_printf(&text, "%d", i);
	}
	vt_buf_char(&text, close);
	begun = clock();
	CHECK_EQ(vt_json_parse(&j, text.data, text.len, "t", &err), 0);
	CHECK_EQ(j ? j->n : 0, n);
	if (object && j) {
		CHECK_EQ(vt_json_integer(vt_json_get(j, "key-7"), 0), 7);
		CHECK(!vt_json_get(j, "key-"));
	}
	vt_json_free(j);
	vt_buf_release(&text);
	return (double)(clock() - begun) / CLOCKS_PER_SEC;
}

/* A reader that looks for each line or key from the start takes minutes for these. */
static void time_is_linear_in_the_text(void)
{
	CHECK(time_to_read(true, 100000) < 20);
	CHECK(time_to_read(false, 500000) < 20);
}

static void large_objects_keep_order_and_keys(void)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT), *copy;
	char key[32];

	for (int i = 0; i < 1000; i++) {
		snprintf(key, sizeof(key), "%d", i * 7 % 1000);
		vt_json_put_int(j, key, i);
	}
	vt_json_put_int(j, "0", -1);
	copy = vt_json_copy(j);
	CHECK_EQ(copy->n, 1000);
	for (int i = 0; i < 1000; i++) {
		snprintf(key, sizeof(key), "%d", i * 7 % 1000);
		CHECK_STR(copy->key[i], key);
		CHECK_EQ(vt_json_integer(vt_json_get(copy, key), -2), i ? i : -1);
	}
	CHECK_EQ(vt_json_members(copy), 1000);
	CHECK_EQ(vt_json_length(copy), 0);
	vt_json_free(copy);
	vt_json_free(j);
}

/* Every code point there and back; nothing shorter or longer, no surrogate. */
static void utf8_goes_there_and_back(void)
{
	static const char *const bad[] = { "\x80", "\xc0\x80", "\xc1\xbf", "\xe0\x9f\xbf",
		"\xed\xa0\x80", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf8\x88\x80\x80\x80",
		"\xc3", "\xe2\x82", "\xc3(" };
	struct vt_buf out = VT_BUF_INIT;
	uint32_t got, wrong = 0;

	for (uint32_t c = 0; c <= 0x10ffff; c++) {
		bool surrogate = c >= 0xd800 && c <= 0xdfff;
		const unsigned char *text;
		size_t n;

		vt_buf_clear(&out);
		vt_utf8_encode(&out, c);
		text = (const unsigned char *)out.data;
		n = vt_utf8_decode(text, out.len, &got);
		wrong += n != (surrogate ? 0 : out.len) || (n && got != c);
		wrong += out.len > 1 && vt_utf8_decode(text, out.len - 1, &got) != 0;
	}
	CHECK_EQ(wrong, 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		CHECK_EQ(vt_utf8_decode((const unsigned char *)bad[i], 8, &got), 0);
	vt_buf_release(&out);
}

int main(void)
{
	RUN(utf8_goes_there_and_back);
	RUN(refuses_what_is_not_json);
	RUN(depth_is_bounded);
	RUN(messages_name_line_and_pointer);
	RUN(canonical_sorts_by_utf16);
	RUN(canonical_escapes);
	RUN(canonical_refuses_reals);
	RUN(reals_read_back);
	RUN(pointers_and_getters);
	RUN(nothing_copies_to_nothing);
	RUN(time_is_linear_in_the_text);
	RUN(large_objects_keep_order_and_keys);
	return check_done();
}
