/* manifest_draft_choose.c - which files of a cohort are its label map and its brain mask. */
#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/image/volume.h"
#include "common/seg/manifest_draft_internal.h"

enum { JUDGED = 3 };

static bool is_constant(const struct vt_volume *volume)
{
	for (size_t i = 1; i < volume->n; i++)
		if (vt_volume_value(volume, i) != vt_volume_value(volume, 0))
			return false;
	return true;
}

void vt_draft_judge(const struct vt_draft *draft, struct vt_draft_files *files)
{
	bool seen[256] = { false };
	unsigned char value[VT_FEW_VALUES], first[2] = { 0, 0 };
	struct vt_buf text = VT_BUF_INIT;
	int n = 0, most = 0;

	for (size_t i = 0, judged = 0;
		i < files->files.n && i < VT_DRAFT_LOOKED_AT && judged < JUDGED; i++) {
		char *path = vt_path_join(files->root, files->files.v[i]);
		struct vt_volume v = VT_VOLUME_INIT;
		struct vt_err none = VT_ERR_INIT;

		if (!vt_volume_read(&v, path, VT_VOLUME_RAW | VT_VOLUME_FRAMES, &none)) {
			n = vt_volume_few_values(value, &v);
			judged += n || !is_constant(&v);
			most = n || is_constant(&v) ? most : -1;
			for (int k = 0; k < n; k++)
				seen[value[k]] = true;
		}
		vt_volume_release(&v);
		free(path);
		if (most < 0)
			break;
	}
	for (int v = 0; most >= 0 && v < 256; v++) {
		if (!seen[v])
			continue;
		if (most < 2)
			first[most] = (unsigned char)v;
		vt_buf_printf(&text, "%s%d", most++ ? ", " : "", v);
	}
	most = most > 0 ? most : 0;
	files->kind = vt_manifest_kind(files->pattern, first, most);
	if (draft->labels && files->root == draft->labels)
		files->kind = VT_FILE_LABEL;
	files->values = most ? vt_buf_detach(&text) : NULL;
	vt_buf_release(&text);
}

void vt_draft_choose(const struct vt_draft_files *first[VT_FILE_KINDS],
	const struct vt_draft *draft)
{
	size_t most[VT_FILE_KINDS] = { 0 };

	for (size_t i = 0; i < draft->n; i++) {
		const struct vt_draft_files *f = &draft->v[i], *best = first[f->kind];
		bool own = f->kind == VT_FILE_LABEL && f->root == draft->labels;

		if (!strncmp(f->pattern, "imagesTs", 8))
			continue;
		if (!best) {
			first[f->kind] = f;
			most[f->kind] = f->files.n;
		} else if (own && best->root != draft->labels) {
			first[f->kind] = f;
		} else if (f->kind != VT_FILE_SCAN && 2 * f->files.n >= most[f->kind] &&
			(best->root != draft->labels || own || !draft->labels) &&
			vt_manifest_kind_rank(f->pattern, f->kind) <
				vt_manifest_kind_rank(best->pattern, f->kind)) {
			first[f->kind] = f;
		}
	}
}

void vt_draft_remark(struct vt_buf *remarks, const struct vt_draft *draft,
	const struct vt_draft_files *const first[VT_FILE_KINDS])
{
	static const char *const what[] = { "scan", "label map", "brain mask" };

	for (size_t i = 0; i < draft->n; i++) {
		const struct vt_draft_files *f = &draft->v[i];

		if (f->kind == VT_FILE_SCAN)
			continue;
		if (f != first[f->kind])
			vt_buf_printf(remarks,
				"left out: %s, %zu files such as %s: %s%s; another %s is taken: "
				"%s\n",
				f->pattern, f->files.n, f->files.v[0],
				f->values ? "holds only the values " : "its name says ",
				f->values ? f->values : what[f->kind], what[f->kind],
				first[f->kind] ? first[f->kind]->pattern : "none");
		else if (f->values && vt_manifest_kind_rank(f->pattern, f->kind))
			vt_buf_printf(remarks,
				"taken for the %s by its values (%s): %s; its name does not say "
				"so, see that it is right\n",
				what[f->kind], f->values, f->pattern);
	}
}
