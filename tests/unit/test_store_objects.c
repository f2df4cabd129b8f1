/* What a tree is put on: objects that are there, sound, and nobody's to write to. */
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/fs.h"
#include "common/store/store.h"
#include "tests/check.h"

static struct vt_err err = VT_ERR_INIT;
static char *dir, *where, *file, *object;
static struct vt_store *store;
static struct vt_tree *tree;

static ino_t inode(const char *path)
{
	struct stat st;

	return stat(path, &st) ? 0 : st.st_ino;
}

static void set_up(void)
{
	const char *t = getenv("T");

	err = (struct vt_err)VT_ERR_INIT;
	where = vt_path_join(t && *t ? t : "/tmp", "objects-test");
	CHECK_EQ(vt_fs_remove_tree(where, &err), 0);
	dir = vt_path_join(where, "d");
	file = vt_path_join(dir, "f");
	CHECK_EQ(vt_fs_mkdirs(dir, &err), 0);
	CHECK_EQ(vt_fs_write_quick(file, "bytes", 5, 0644, &err), 0);
	char *path = vt_path_join(where, "store");

	CHECK_EQ(vt_store_open(&store, path, VT_STORE_CREATE, &err), 0);
	CHECK_EQ(vt_store_ingest(store, &tree, dir, NULL, &err), 0);
	object = vt_store_object_path(store, &tree->file[0].digest);
	CHECK(inode(file) == inode(object));
	free(path);
}

static void tear_down(void)
{
	vt_tree_free(tree);
	vt_store_close(store);
	vt_fs_remove_tree(where, &err);
	free(object);
	free(file);
	free(dir);
	free(where);
}

static void a_writable_object_is_replaced(void)
{
	struct stat st;

	set_up();
	chmod(file, 0644);
	CHECK_EQ(vt_store_put_tree(store, tree, &err), 0);
	CHECK(inode(file) != inode(object));
	CHECK(stat(object, &st) == 0 && (st.st_mode & 07777) == 0444);
	CHECK(stat(file, &st) == 0 && (st.st_mode & 07777) == 0644);
	tear_down();
}

static void a_changed_object_is_refused(void)
{
	set_up();
	chmod(file, 0644);
	CHECK_EQ(truncate(file, 3), 0);
	CHECK_EQ(vt_store_put_tree(store, tree, &err), VT_EINTEGRITY);
	CHECK(strstr(err.text, "its size has changed since it was taken in") &&
		strstr(err.text, "original of f again"));
	tear_down();
}

static void a_missing_object_is_refused(void)
{
	set_up();
	unlink(object);
	CHECK_EQ(vt_store_put_tree(store, tree, &err), VT_EINTEGRITY);
	CHECK(strstr(err.text, "f: its bytes are not in the store"));
	tear_down();
}

static void a_claimed_directory_is_made(void)
{
	char *work;

	set_up();
	work = vt_path_join(where, "store/tmp/work");
	CHECK_EQ(vt_store_claim(store, work, &err), 0);
	CHECK(vt_fs_is_dir(work));
	free(work);
	tear_down();
}

int main(void)
{
	RUN(a_writable_object_is_replaced);
	RUN(a_changed_object_is_refused);
	RUN(a_missing_object_is_refused);
	RUN(a_claimed_directory_is_made);
	return check_done();
}
