/* voxtrail merge --out DIR PART...: what the fan-outs of other engines end with; see
 * docs/pipelines.md. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/fs.h"
#include "pipelines/tool/commands.h"
#include "pipelines/tool/command.h"
#include "common/content/tree.h"
#include "common/record/record_dir.h"
#include "pipelines/runner/datum_record.h"

static const char done[] = ".voxtrail-done", partial[] = ".voxtrail-partial";

struct merge {
	struct vt_tree_file *file;
	size_t *part_of; /* which part each is of */
	size_t n, cap;
	const struct vt_strs *parts;
	size_t part;
	const char *out;
};

/* A link names a file, as some engines hand parts over. */
static int place(const char *from, const char *to, struct vt_err *err)
{
	char *dir = vt_xstrndup(to, (size_t)(strrchr(to, '/') - to)),
	     *real = vt_fs_realpath(from, err);
	int fd = real ? vt_fs_open(real, err) : -1;

	if (fd >= 0 && !close(fd) && !vt_fs_mkdirs(dir, err) && link(real, to))
		vt_fs_copy(real, to, 0444, err);
	free(dir);
	free(real);
	return err->code;
}

static void keep(struct merge *m, const char *path)
{
	if (m->n == m->cap) {
		m->cap = m->cap ? 2 * m->cap : 64;
		m->file = vt_xrealloc(m->file, m->cap * sizeof *m->file);
		m->part_of = vt_xrealloc(m->part_of, m->cap * sizeof *m->part_of);
	}
	m->file[m->n] = (struct vt_tree_file){ .path = vt_xstrdup(path) };
	m->part_of[m->n++] = m->part;
}

/* Records of equal work are equal, so two parts may bring the same one. */
static int add_file(void *ctx, const char *relative, char type, struct vt_err *err)
{
	struct merge *m = ctx;
	if (!strncmp(relative, partial, strlen(partial)))
		return vt_err_set(err, VT_EFAIL,
			"%s/%s: a try that was killed left it; the part is not whole",
			m->parts->v[m->part], relative);
	if (type == 'd' || !strcmp(relative, done))
		return 0;
	char *from = vt_path_join(m->parts->v[m->part], relative),
	     *to = vt_path_join(m->out, relative);
	if (!vt_tree_is_lineage(relative))
		keep(m, relative);
	if (!vt_fs_exists(to))
		place(from, to, err);
	free(from);
	free(to);
	return err->code;
}

/* A datum without files was refused as a whole if a record says so. */
static bool record_refuses(const struct vt_json *record)
{
	return vt_json_pointer(record, "/notes/quarantined") ||
		vt_json_pointer(record, "/notes/passed_over");
}

/* As the runner has it: a job of which nothing but quarantine is left has failed. */
static int demand_somebody(const struct merge *m, struct vt_err *err)
{
	struct vt_record_dir records = { NULL, 0, 0 };
	bool refused = m->n > 0;

	for (size_t i = 0; i < m->n; i++)
		if (!vt_path_in_quarantine(m->file[i].path))
			return 0;
	if (!m->n && !vt_record_dir_read_top(&records, m->out, err)) {
		for (size_t i = 0; i < records.n; i++)
			refused |= records.v[i].own && record_refuses(records.v[i].record);
		vt_record_dir_release(&records);
	}
	if (!err->code && refused)
		vt_err_set(err, VT_EFAIL,
			"%s: every subject was refused: nothing but quarantine is left", m->out);
	return err->code;
}

static int merge(const struct vt_strs *parts, const char *out, bool somebody, struct vt_err *err)
{
	struct merge m = { .parts = parts, .out = out };
	struct vt_strs names = VT_STRS_INIT;
	size_t first, second;

	if (!vt_fs_mkdirs(out, err) && !vt_fs_list(&names, out, err) && names.n)
		vt_err_set(err, VT_ECANTCREAT, "%s: not empty (%s); give a new directory", out,
			names.v[0]);
	vt_strs_release(&names);
	for (; m.part < parts->n && !err->code; m.part++)
		vt_fs_walk(parts->v[m.part], add_file, &m, err);
	if (!err->code && vt_tree_collision(m.file, m.n, &first, &second, err))
		vt_err_prefix(err, "%s and %s collide; let each datum write under its own name",
			parts->v[m.part_of[first]], parts->v[m.part_of[second]]);
	if (!err->code && somebody)
		demand_somebody(&m, err);
	for (size_t i = 0; i < m.n; i++)
		free(m.file[i].path);
	free(m.file);
	free(m.part_of);
	return err->code;
}

/* The try whose marker says that it is whole, of those that an engine kept: the last one. */
static char *whole_try(const char *part, struct vt_err *err)
{
	struct vt_strs names = VT_STRS_INIT;
	char *found = NULL;
	long best = -1;

	vt_fs_list(&names, part, err);
	for (size_t i = 0; i < names.n; i++) {
		char *dir = vt_path_join(part, names.v[i]), *marker = vt_path_join(dir, done);
		long number = strtol(names.v[i], NULL, 10);

		if (vt_fs_exists(marker) && number > best) {
			free(found);
			found = vt_xstrdup(dir);
			best = number;
		}
		free(marker);
		free(dir);
	}
	if (!found && !err->code)
		vt_err_set(err, VT_EFAIL, "%s: no try of this datum is whole", part);
	vt_strs_release(&names);
	return found;
}

struct parts {
	const char *from, *only;
	int tries;
};

static int add_part(struct vt_strs *parts, const struct parts *p, const char *name,
	struct vt_err *err)
{
	if (strchr(name, '/') || !strcmp(name, ".") || !strcmp(name, ".."))
		return vt_err_set(err, VT_EDATA, "%s: \"%s\" is not the name of a part", p->only,
			name);
	char *part = vt_path_join(p->from, name);

	if (p->only && !vt_fs_is_dir(part)) {
		vt_err_set(err, VT_ENOINPUT, "%s: the part is not here; run its datum", part);
	} else if (vt_fs_is_dir(part) && p->tries) {
		char *whole = whole_try(part, err);

		if (whole)
			vt_strs_add(parts, whole);
		free(whole);
	} else if (vt_fs_is_dir(part)) {
		vt_strs_add(parts, part);
	}
	free(part);
	return err->code;
}

/* The names of the file, one a line, else all that is in `from`. */
static int list_parts(struct vt_strs *parts, const struct parts *p, struct vt_err *err)
{
	struct vt_strs names = VT_STRS_INIT;
	struct vt_buf text = VT_BUF_INIT;

	if (p->only && !vt_fs_read(&text, p->only, 1u << 30, err)) {
		if (text.len && memchr(text.data, 0, text.len))
			vt_err_set(err, VT_EDATA, "%s: holds NUL bytes; names, one a line",
				p->only);
		for (const char *line = text.data ? text.data : ""; *line;) {
			size_t n = strcspn(line, "\n");
			char *name = vt_xstrndup(line, n);

			if (n)
				vt_strs_add(&names, name);
			free(name);
			line += n + (line[n] == '\n');
		}
	} else if (!p->only && vt_fs_exists(p->from)) { /* no datum, no part */
		vt_fs_list(&names, p->from, err);
	}
	for (size_t i = 0; i < names.n && !err->code; i++)
		add_part(parts, p, names.v[i], err);
	vt_buf_release(&text);
	vt_strs_release(&names);
	return err->code;
}

int vt_cmd_merge(int argc, char **argv)
{
	const char *out = NULL, *marker = NULL, *text = "";
	struct parts p = { NULL, NULL, 0 };
	int somebody = 0;
	const struct vt_opt opts[] = {
		{ 'o', "out", VT_OPT_STRING, &out, "DIR", "directory to write" },
		{ 0, "from", VT_OPT_STRING, &p.from, "DIR",
			"use every directory in DIR as a part" },
		{ 0, "only", VT_OPT_STRING, &p.only, "FILE",
			"of those in --from, use only the ones that FILE names, one per line" },
		{ 0, "tries", VT_OPT_FLAG, &p.tries, NULL,
			"a part holds numbered tries; use the last complete one" },
		{ 0, "not-only-quarantine", VT_OPT_FLAG, &somebody, NULL,
			"fail if the output has nothing but quarantined subjects" },
		{ 0, "marker", VT_OPT_STRING, &marker, "FILE",
			"write FILE last, as a sign that the output is complete" },
		{ 0, "text", VT_OPT_STRING, &text, "TEXT", "content of FILE (default empty)" },
		VT_OPTS_END,
	};
	struct vt_call c = {
		.usage = "merge --out DIR [--from DIR] [PART...]",
		.about = "Writes the union of the files of all parts. Two parts with the "
			 "same path are an error.",
		.most = SIZE_MAX,
		.opts = opts,
		.no_store = true,
	};

	if (vt_call_begin(&c, argc, argv)) {
		if (!out || ((p.only || p.tries) && !p.from))
			vt_err_set(&c.err, VT_EUSAGE,
				"give --out, and --from with --only or --tries");
		else if ((!p.from || !list_parts(&c.args, &p, &c.err)) &&
			!merge(&c.args, out, somebody, &c.err) && marker)
			vt_fs_write(marker, text, strlen(text), 0644, &c.err);
	}
	return vt_call_end(&c);
}
