/* fuzz_text.c - the readers of texts that know nothing of what they are about. */
#include <stdlib.h>
#include <string.h>

#include "common/base/base64.h"
#include "common/base/buf.h"
#include "common/content/stat_cache.h"
#include "common/image/gzip.h"
#include "common/nn/precision.h"
#include "pipelines/spec/cron.h"
#include "pipelines/spec/glob.h"
#include "pipelines/spec/yaml_read.h"
#include "tests/fuzz/fuzz.h"

/* What was read and written again reads as the same. */
static void json(const uint8_t *bytes, size_t n)
{
	struct vt_buf once = VT_BUF_INIT, twice = VT_BUF_INIT, pretty = VT_BUF_INIT;
	struct vt_err err = VT_ERR_INIT;
	struct vt_json *j = fuzz_json(bytes, n), *again = NULL;

	if (!j)
		return;
	vt_json_sorted(&once, j);
	vt_json_pretty(&pretty, j);
	if (vt_json_parse(&again, pretty.data, pretty.len, "again", &err))
		abort();
	vt_json_sorted(&twice, again);
	if (once.len != twice.len || memcmp(once.data, twice.data, once.len))
		abort();
	for (size_t i = 0; j->type == VT_JSON_OBJECT && i < j->n; i++)
		if (vt_json_get(j, j->key[i]) != j->item[i])
			abort();
	vt_json_free(j);
	vt_json_free(again);
	vt_buf_release(&once);
	vt_buf_release(&twice);
	vt_buf_release(&pretty);
}

static void yaml(const uint8_t *bytes, size_t n)
{
	struct vt_err err = VT_ERR_INIT;
	struct vt_json *j = NULL;

	if (vt_yaml_parse(&j, (const char *)bytes, n, "input", &err))
		fuzz_refused(&err);
	else if (j->type != VT_JSON_ARRAY)
		abort();
	vt_json_free(j);
}

static void base64(const uint8_t *bytes, size_t n)
{
	char *text = fuzz_text(bytes, n);
	struct vt_buf decoded = VT_BUF_INIT, encoded = VT_BUF_INIT;

	if (vt_base64_decode(&decoded, text)) {
		vt_base64(&encoded, decoded.data, decoded.len);
		if (encoded.len > strlen(text))
			abort();
	}
	vt_buf_release(&decoded);
	vt_buf_release(&encoded);
	free(text);
}

/* A pattern, a path and a replacement, a line each. */
static void glob(const uint8_t *bytes, size_t n)
{
	char *text = fuzz_text(bytes, n > 512 ? 512 : n), *path = strchr(text, '\n'), *with;
	struct vt_err err = VT_ERR_INIT;
	struct vt_glob_match m;
	char *pattern, *clean;

	if (path)
		*path++ = '\0';
	with = path ? strchr(path, '\n') : NULL;
	if (with)
		*with++ = '\0';
	pattern = vt_glob_clean(text);
	clean = vt_glob_clean(path ? path : "");
	if (vt_glob_check(pattern, &err)) {
		fuzz_refused(&err);
	} else if (vt_glob_literal(pattern) > strlen(pattern)) {
		abort();
	} else if (vt_glob_match(&m, pattern, clean)) {
		char *made = vt_glob_replace(&m, with ? with : "$1");

		free(made);
	}
	free(pattern);
	free(clean);
	free(text);
}

static void cron(const uint8_t *bytes, size_t n)
{
	char *text = fuzz_text(bytes, n > 256 ? 256 : n);

	if (vt_cron_valid(text))
		vt_cron_due(text, 1700000000, 1700003600);
	free(text);
}

static void stat_cache(const uint8_t *bytes, size_t n)
{
	char *path = fuzz_file("stat-cache", bytes, n);
	struct vt_stat_cache *c = vt_stat_cache_open(path);
	struct vt_stamp stamp = { .dev = 1, .ino = 2, .size = 3 };
	struct vt_digest d;

	vt_stat_cache_find(c, &d, &stamp, VT_STAT_EXACT);
	vt_stat_cache_close(c);
	free(path);
}

static void gzip(const uint8_t *bytes, size_t n)
{
	struct vt_err err = VT_ERR_INIT;
	unsigned char *out = malloc(65536);
	size_t got;

	if (!out)
		abort();
	if (vt_gzip_head(out, 544, &got, bytes, n, &err))
		fuzz_refused(&err);
	err = (struct vt_err)VT_ERR_INIT;
	if (vt_gzip_inflate(out, 65536, bytes, n, &err))
		fuzz_refused(&err);
	free(out);
}

static void precision(const uint8_t *bytes, size_t n)
{
	struct vt_precision_change *c = NULL;
	struct vt_err err = VT_ERR_INIT;
	size_t lines = 0;

	if (vt_precision_read_lines(&c, &lines, (const char *)bytes, n, "input", &err))
		fuzz_refused(&err);
	free(c);
}

const struct fuzz_target fuzz_text_targets[] = {
	{ "json", json },
	{ "yaml", yaml },
	{ "base64", base64 },
	{ "glob", glob },
	{ "cron", cron },
	{ "stat-cache", stat_cache },
	{ "gzip", gzip },
	{ "precision", precision },
	{ NULL, NULL },
};
