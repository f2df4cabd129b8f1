/* select_names.c - a list of names in one of three forms, told apart by what it holds: a JSON list
 * begins with '[', a table's header has a cell "subject", anything else is a name a line. */
#include "common/seg/select.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/csv.h"
#include "common/base/fs.h"
#include "common/base/json.h"
#include "common/base/text_out.h"

enum { MOST_BYTES = 16 << 20 };

static int add(struct vt_strs *names, const char *name, const char *origin, size_t place,
	struct vt_err *err)
{
	if (!*name || !vt_path_is_portable(name) || strchr(name, '/'))
		return vt_err_set(err, VT_EDATA, "%s: entry %zu: \"%s\" cannot be a subject's name",
			origin, place, name);
	vt_strs_add(names, name);
	return 0;
}

static int of_json(struct vt_strs *names, const struct vt_buf *text, const char *origin,
	struct vt_err *err)
{
	struct vt_json *j = NULL;
	int rc = vt_json_parse(&j, text->data, text->len, origin, err);

	for (size_t i = 0; !rc && i < j->n; i++) {
		const char *name = vt_json_text(j->item[i], NULL);

		rc = name ? add(names, name, origin, i + 1, err)
			  : vt_err_set(err, VT_EDATA, "%s: /%zu: each name is a text", origin, i);
	}
	vt_json_free(j);
	return rc;
}

static int of_table(struct vt_strs *names, const struct vt_csv *csv, size_t column,
	struct vt_err *err)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < csv->n_rows; i++)
		rc = add(names, vt_csv_plain(vt_csv_cell(csv, i, column)), csv->origin, i + 1, err);
	return rc;
}

/* White space around a name, empty lines and lines that begin with # say nothing. */
static int of_lines(struct vt_strs *names, const struct vt_buf *text, const char *origin,
	struct vt_err *err)
{
	const char *at = text->data, *end = text->data + text->len;
	int rc = 0;

	if (memchr(text->data, '\0', text->len))
		return vt_err_set(err, VT_EDATA, "%s: holds a zero byte; is it a list of names?",
			origin);
	if (text->len >= 3 && !memcmp(at, "\xef\xbb\xbf", 3))
		at += 3;
	for (size_t line = 1; !rc && at < end; line++) {
		size_t n = strcspn(at, "\n");
		const char *next = at + n + (at + n < end);

		while (n && strchr(" \t\r", at[n - 1]))
			n--;
		while (n && strchr(" \t", *at)) {
			at++;
			n--;
		}
		if (n && *at != '#') {
			char *name = vt_xstrndup(at, n);

			rc = add(names, name, origin, line, err);
			free(name);
		}
		at = next;
	}
	return rc;
}

/* Sorts; each name stands once. */
static int check_names(struct vt_strs *names, const char *origin, struct vt_err *err)
{
	vt_strs_sort(names);
	for (size_t i = 1; i < names->n; i++)
		if (!strcmp(names->v[i - 1], names->v[i]))
			return vt_err_set(err, VT_EDATA, "%s: \"%s\" stands twice", origin,
				names->v[i]);
	return names->n ? 0 : vt_err_set(err, VT_EDATA, "%s: names nobody", origin);
}

int vt_select_read_names(struct vt_strs *names, const char *path, struct vt_err *err)
{
	struct vt_err other = VT_ERR_INIT;
	struct vt_buf text = VT_BUF_INIT;
	struct vt_csv table;
	size_t column, begin;
	int rc = vt_fs_read(&text, path, MOST_BYTES, err);

	if (rc) {
		vt_buf_release(&text);
		return rc;
	}
	vt_buf_str(&text, "");
	begin = strspn(text.data, " \t\r\n\xef\xbb\xbf");
	if (text.data[begin] == '[') {
		rc = of_json(names, &text, path, err);
	} else if (!vt_csv_parse(&table, text.data, text.len, path, &other)) {
		rc = !vt_csv_column(&column, &table, "subject", &other)
			? of_table(names, &table, column, err)
			: of_lines(names, &text, path, err);
		vt_csv_release(&table);
	} else {
		rc = of_lines(names, &text, path, err);
	}
	vt_buf_release(&text);
	return rc ? rc : check_names(names, path, err);
}
