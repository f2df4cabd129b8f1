/* fs_stray.c - what lies in directories and is nobody's data. */
#include <string.h>

#include "common/base/fs.h"

bool vt_fs_is_stray(const char *name)
{
	static const char *const names[] = { "Thumbs.db", "ehthumbs.db", "desktop.ini",
		"Desktop.ini", "Icon\r", "__MACOSX", "$RECYCLE.BIN", "System Volume Information",
		"@eaDir", "#recycle", "lost+found" };

	if (name[0] == '.')
		return true;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strcmp(name, names[i]))
			return true;
	return false;
}

bool vt_fs_only_stray(const char *dir)
{
	struct vt_strs names = VT_STRS_INIT;
	struct vt_err none = VT_ERR_INIT;
	size_t n = 0;
	bool only;

	if (!vt_fs_list(&names, dir, &none))
		while (n < names.n && vt_fs_is_stray(names.v[n]))
			n++;
	only = names.n && n == names.n;
	vt_strs_release(&names);
	return only;
}
