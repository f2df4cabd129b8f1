/* Which names a tree may hold. */
#include "common/content/tree.h"

#include <string.h>

#include "common/base/utf8.h"

enum { PATH_LIMIT = 4096 };

/* Why the name of n bytes is refused; NULL if it is not. */
static const char *fault_of(const char *name, size_t n)
{
	uint32_t c = 0;

	if (n == 0 || (n == 1 && name[0] == '.') || (n == 2 && name[0] == '.' && name[1] == '.'))
		return "is empty, \".\" or \"..\"";
	if (n > 255) /* NAME_MAX of Linux */
		return "is longer than 255 bytes";
	for (size_t i = 0, k; i < n; i += k) {
		k = vt_utf8_decode((const unsigned char *)name + i, n - i, &c);
		if (!k) /* k: bytes of the character; 0: malformed */
			return "is not UTF-8";
		if (vt_utf8_is_hidden(c))
			return "holds a control character, or one that cannot be seen";
		/* what globs and shells would take for patterns */
		if (c < 0x80 && strchr("\\*?[]{}", (int)c))
			return "holds one of \\ * ? [ ] { }";
	}
	return NULL;
}

/* The path as it can be shown: bytes that are no printable ASCII as \xHH. */
static void show(struct vt_buf *out, const char *path)
{
	for (const unsigned char *p = (const unsigned char *)path; *p; p++)
		if (*p < 0x20 || *p > 0x7e)
			vt_buf_printf(out, "\\x%02x", *p);
		else
			vt_buf_char(out, (char)*p);
}

const char *vt_tree_lineage_part(const char *path)
{
	for (const char *name = path; *name;) {
		size_t n = strcspn(name, "/");

		if (n == 8 && !strncmp(name, ".lineage", n))
			return name;
		name += n + (name[n] == '/');
	}
	return NULL;
}

bool vt_tree_is_lineage(const char *path)
{
	return vt_tree_lineage_part(path) != NULL;
}

int vt_tree_check_name(const char *root, const char *path, struct vt_err *err)
{
	if (strlen(path) > PATH_LIMIT)
		return vt_err_set(err, VT_EDATA, "%s%s%.80s...: a path of %zu bytes; at most %d",
			root ? root : "", root ? "/" : "", path, strlen(path), PATH_LIMIT);
	for (const char *name = path;;) {
		size_t n = strcspn(name, "/");
		const char *why = fault_of(name, n);

		if (why) {
			struct vt_buf shown = VT_BUF_INIT;

			show(&shown, path);
			vt_err_set(err, VT_EDATA, "%s%s%s: the name %s; rename it",
				root ? root : "", root ? "/" : "", shown.data ? shown.data : "",
				why);
			vt_buf_release(&shown);
			return err->code;
		}
		if (!name[n])
			return 0;
		name += n + 1;
	}
}
