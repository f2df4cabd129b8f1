#include "common/base/csv.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/base/json.h"

enum { MOST_BYTES = 64 << 20 };

/* The text that is left, and where it is. */
struct reader {
	const char *at, *end, *origin;
	size_t line;
};

static int quoted_cell(struct vt_buf *cell, struct reader *reader, struct vt_err *err)
{
	size_t begun = reader->line;

	for (reader->at++; reader->at < reader->end; reader->at++) {
		if (*reader->at == '"') {
			if (reader->at + 1 == reader->end || reader->at[1] != '"') {
				reader->at++;
				return 0;
			}
			reader->at++;
		}
		reader->line += *reader->at == '\n';
		vt_buf_char(cell, *reader->at);
	}
	return vt_err_set(err, VT_EDATA, "%s: line %zu: a quote is opened and not closed",
		reader->origin, begun);
}

static bool ends_cell(const struct reader *reader)
{
	return reader->at == reader->end || *reader->at == ',' || *reader->at == '\n' ||
		(*reader->at == '\r' && (reader->at + 1 == reader->end || reader->at[1] == '\n'));
}

/* One cell and what ends it; *last: the row ends too. */
static int next_cell(struct vt_buf *cell, bool *last, struct reader *reader, struct vt_err *err)
{
	int rc = 0;

	vt_buf_clear(cell);
	if (reader->at < reader->end && *reader->at == '"')
		rc = quoted_cell(cell, reader, err);
	if (!rc && !ends_cell(reader) && cell->len)
		rc = vt_err_set(err, VT_EDATA, "%s: line %zu: text after a closing quote",
			reader->origin, reader->line);
	for (; !rc && !ends_cell(reader); reader->at++) {
		if (!*reader->at)
			return vt_err_set(err, VT_EDATA,
				"%s: line %zu: a zero byte; is it a table?", reader->origin,
				reader->line);
		vt_buf_char(cell, *reader->at);
	}
	if (rc)
		return rc;
	*last = reader->at == reader->end || *reader->at != ',';
	if (reader->at < reader->end && *reader->at == '\r')
		reader->at++;
	if (reader->at < reader->end) {
		reader->line += *reader->at == '\n';
		reader->at++;
	}
	return 0;
}

static int read_row(struct vt_csv *csv, struct vt_buf *cell, struct reader *reader,
	struct vt_err *err)
{
	size_t line = reader->line, before = csv->cells.n;
	bool last = false;

	while (!last) {
		int rc = next_cell(cell, &last, reader, err);

		if (rc)
			return rc;
		vt_strs_add(&csv->cells, cell->len ? cell->data : "");
	}
	if (!csv->n_columns) {
		csv->n_columns = csv->cells.n;
		return 0;
	}
	if (csv->cells.n - before != csv->n_columns)
		return vt_err_set(err, VT_EDATA, "%s: line %zu has %zu cells, the header %zu",
			reader->origin, line, csv->cells.n - before, csv->n_columns);
	csv->line = vt_xrealloc(csv->line, (csv->n_rows + 1) * sizeof(*csv->line));
	csv->line[csv->n_rows++] = line;
	return 0;
}

static int check_header(const struct vt_csv *csv, struct vt_err *err)
{
	if (!csv->n_columns)
		return vt_err_set(err, VT_EDATA, "%s: empty; a header line is expected",
			csv->origin);
	for (size_t i = 0; i < csv->n_columns; i++)
		for (size_t j = 0; j < i; j++)
			if (!strcmp(csv->cells.v[i], csv->cells.v[j]))
				return vt_err_set(err, VT_EDATA, "%s: two columns are named \"%s\"",
					csv->origin, csv->cells.v[i]);
	return 0;
}

int vt_csv_parse(struct vt_csv *out, const char *text, size_t n, const char *origin,
	struct vt_err *err)
{
	struct vt_csv t = { .origin = vt_xstrdup(origin), .cells = VT_STRS_INIT };
	struct reader r = { text, text + n, origin, 1 };
	struct vt_buf cell = VT_BUF_INIT;
	int rc = 0;

	if (n >= 3 && !memcmp(text, "\xef\xbb\xbf", 3))
		r.at += 3;
	while (!rc && r.at < r.end)
		rc = read_row(&t, &cell, &r, err);
	if (!rc)
		rc = check_header(&t, err);
	vt_buf_release(&cell);
	if (rc)
		vt_csv_release(&t);
	else
		*out = t;
	return rc;
}

int vt_csv_read(struct vt_csv *out, const char *path, struct vt_err *err)
{
	struct vt_buf text = VT_BUF_INIT;
	int rc = vt_fs_read(&text, path, MOST_BYTES, err);

	if (!rc)
		rc = vt_csv_parse(out, text.data ? text.data : "", text.len, path, err);
	vt_buf_release(&text);
	return rc;
}

void vt_csv_release(struct vt_csv *table)
{
	free(table->origin);
	free(table->line);
	vt_strs_release(&table->cells);
	*table = (struct vt_csv){ .cells = VT_STRS_INIT };
}

int vt_csv_column(size_t *out, const struct vt_csv *table, const char *name, struct vt_err *err)
{
	struct vt_buf known = VT_BUF_INIT;

	for (size_t i = 0; i < table->n_columns; i++) {
		if (!strcmp(table->cells.v[i], name)) {
			*out = i;
			vt_buf_release(&known);
			return 0;
		}
		vt_buf_printf(&known, "%s%s", i ? ", " : "", table->cells.v[i]);
	}
	vt_err_set(err, VT_EDATA, "%s: no column \"%s\"; there are: %s", table->origin, name,
		known.data ? known.data : "");
	vt_buf_release(&known);
	return err->code;
}

const char *vt_csv_cell(const struct vt_csv *table, size_t row, size_t column)
{
	size_t at = (row + 1) * table->n_columns + column;

	assert(column < table->n_columns && at < table->cells.n);
	return table->cells.v[at];
}

int vt_csv_number(double *out, const struct vt_csv *table, size_t row, size_t column,
	struct vt_err *err)
{
	const char *text = vt_csv_cell(table, row, column);
	char *end;
	double v = strtod(text, &end);

	if (end == text || *end || !isfinite(v))
		return vt_err_set(err, VT_EDATA, "%s: line %zu, column %s: \"%s\" is not a number",
			table->origin, table->line[row], table->cells.v[column], text);
	*out = v;
	return 0;
}

void vt_csv_quote(struct vt_buf *out, const char *text)
{
	/* a byte order mark would be taken for the table's own */
	if (!strpbrk(text, ",\"\r\n") && strncmp(text, "\xef\xbb\xbf", 3)) {
		vt_buf_str(out, text);
		return;
	}
	vt_buf_char(out, '"');
	for (; *text; text++) {
		if (*text == '"')
			vt_buf_char(out, '"');
		vt_buf_char(out, *text);
	}
	vt_buf_char(out, '"');
}

void vt_csv_real(struct vt_buf *out, double v)
{
	char text[32];

	if (!isfinite(v))
		return;
	vt_json_real_text(text, v);
	vt_buf_str(out, text);
}
