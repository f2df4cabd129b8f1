/* voxtrail merge --out DIR PART...: what the fan-outs of other engines end with; see
 * docs/pipelines.md. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/fs.h"
#include "pipelines/tool/commands.h"
#include "pipelines/tool/command.h"
#include "common/content/tree.h"

struct merge {
	struct vt_tree_file *file;
	size_t *part_of; /* which part each is of */
	size_t n, cap;
	const struct vt_strs *parts;
	size_t part;
	const char *out;
};

static int place(const char *from, const char *to, struct vt_err *err)
{
	char *dir = vt_xstrndup(to, (size_t)(strrchr(to, '/') - to)),
	     *real = vt_fs_realpath(from, err);
	if (real && !vt_fs_mkdirs(dir, err) && link(real, to))
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
	if (type == 'd')
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

static int merge(const struct vt_strs *parts, const char *out, struct vt_err *err)
{
	struct merge m = { .parts = parts, .out = out };
	size_t first, second;
	vt_fs_mkdirs(out, err);
	for (; m.part < parts->n && !err->code; m.part++)
		vt_fs_walk(parts->v[m.part], add_file, &m, err);
	if (!err->code && vt_tree_collision(m.file, m.n, &first, &second, err))
		vt_err_prefix(err, "%s and %s collide; let each datum write under its own name",
			parts->v[m.part_of[first]], parts->v[m.part_of[second]]);
	for (size_t i = 0; i < m.n; i++)
		free(m.file[i].path);
	free(m.file);
	free(m.part_of);
	return err->code;
}

static int list_parts(struct vt_strs *parts, const char *dir, struct vt_err *err)
{
	struct vt_strs names = VT_STRS_INIT;
	if (!vt_fs_exists(dir))
		return 0; /* no datum, no part */
	vt_fs_list(&names, dir, err);
	for (size_t i = 0; i < names.n; i++) {
		char *part = vt_path_join(dir, names.v[i]);
		if (vt_fs_is_dir(part))
			vt_strs_add(parts, part);
		free(part);
	}
	vt_strs_release(&names);
	return err->code;
}

int vt_cmd_merge(int argc, char **argv)
{
	const char *out = NULL, *from = NULL, *marker = NULL;
	const struct vt_opt opts[] = {
		{ 'o', "out", VT_OPT_STRING, &out, "DIR", "where the union goes" },
		{ 0, "from", VT_OPT_STRING, &from, "DIR", "every directory in DIR is a part" },
		{ 0, "marker", VT_OPT_STRING, &marker, "FILE",
			"written last: the output is whole" },
		VT_OPTS_END,
	};
	struct vt_call c = {
		.usage = "merge --out DIR [--from DIR] [PART...]",
		.about =
			"The union of the files of all parts; two that hold one path are an error.",
		.most = SIZE_MAX,
		.opts = opts,
		.no_store = true,
	};

	if (vt_call_begin(&c, argc, argv)) {
		if (!out || (!from && !c.args.n))
			vt_err_set(&c.err, VT_EUSAGE,
				"give --out, and --from or at least one part");
		else if ((!from || !list_parts(&c.args, from, &c.err)) &&
			!merge(&c.args, out, &c.err) && marker)
			vt_fs_write(marker, "", 0, 0644, &c.err);
	}
	return vt_call_end(&c);
}
