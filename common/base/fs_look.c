/* fs_look.c - what has a name. */
#include "common/base/fs.h"

#include <errno.h>
#include <sys/stat.h>

bool vt_fs_exists(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0;
}

bool vt_fs_is_absent(const char *path)
{
	struct stat st;

	return lstat(path, &st) && (errno == ENOENT || errno == ENOTDIR);
}

bool vt_fs_is_dir(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}
