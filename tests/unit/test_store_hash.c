/* Many files hashed side by side, against OpenSSL one by one; the stat cache; digest sets. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/fs.h"
#include "common/base/parallel.h"
#include "common/content/digest_set.h"
#include "common/content/fileset.h"
#include "common/content/sha256.h"
#include "common/content/stat_cache.h"
#include "tests/check.h"

static char *scratch(const char *name)
{
	const char *t = getenv("T");

	return vt_path_join(t && *t ? t : "/tmp", name);
}

static void fips_180_4_examples(void)
{
	static const struct {
		const char *text, *hex;
	} known[] = {
		{ "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
		{ "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
		{ "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
			"248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1" },
	};
	char hex[VT_HEX];

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		struct vt_digest d = vt_digest_bytes(known[i].text, strlen(known[i].text));

		vt_digest_hex(hex, &d);
		CHECK_STR(hex, known[i].hex);
	}
}

/* Every number of lanes, every length around the block and padding edges, side by side with
 * others of other length. */
static void lanes_equal_openssl(void)
{
	struct vt_err err = VT_ERR_INIT;
	vt_sha256_blocks *blocks = NULL;
	unsigned char *text = vt_xmalloc(1024);

	CHECK_EQ(vt_sha256_engine(&blocks, &err), 0);
	if (!blocks) {
		free(text);
		return;
	}
	for (size_t i = 0; i < 1024; i++)
		text[i] = (unsigned char)(i * 167 + (i >> 3));
	for (unsigned n = 1; n <= VT_SHA_LANES; n++)
		for (size_t size = 0; size < 700; size++) {
			struct vt_sha256 state[VT_SHA_LANES], *s[VT_SHA_LANES];
			unsigned char buf[VT_SHA_LANES][1024];
			const unsigned char *p[VT_SHA_LANES];
			size_t whole = size / VT_SHA_BLOCK, more = 0;

			for (unsigned i = 0; i < n; i++) {
				memcpy(buf[i], text + i, size);
				vt_sha256_begin(&state[i]);
				s[i] = &state[i];
				p[i] = buf[i];
				more = vt_sha256_pad(buf[i] + whole * VT_SHA_BLOCK, size);
			}
			blocks(n, s, p, whole + more);
			for (unsigned i = 0; i < n; i++) {
				struct vt_digest d, want = vt_digest_bytes(text + i, size);

				vt_sha256_end(&d, &state[i]);
				if (!vt_digest_equal(&d, &want))
					CHECK_FAIL("%u lanes, lane %u, %zu bytes", n, i, size);
			}
		}
	free(text);
}

static void write_file(const char *dir, const char *name, const unsigned char *bytes, size_t n)
{
	struct vt_err err = VT_ERR_INIT;
	char *path = vt_path_join(dir, name);

	CHECK_EQ(vt_fs_write_quick(path, bytes, n, 0644, &err), 0);
	free(path);
}

/* Sizes at the edges of blocks and chunks, any number of threads, read only and copied. */
/* A file of the first n bytes of text; its copy, where there are copies, goes. */
static void check_file(const struct vt_fileset_file *file, const char *copies,
	const unsigned char *text, size_t n)
{
	struct vt_digest want = vt_digest_bytes(text, n), got = want;
	struct vt_err err = VT_ERR_INIT;
	uint64_t size;
	char *path;

	CHECK(vt_digest_equal(&file->digest, &want));
	if (!copies)
		return;
	path = vt_path_join(copies, file->copied);
	CHECK_EQ(vt_digest_file(&got, &size, path, &err), 0);
	CHECK(vt_digest_equal(&got, &want));
	unlink(path);
	free(path);
}

static void files_equal_openssl(void)
{
	static const size_t sizes[] = { 0, 1, 55, 56, 63, 64, 65, 119, 120, 8192, 65535, 65536,
		65537, 131072, 200001, 1 << 20, (1 << 20) + 1, 3000000 };
	enum { N = sizeof(sizes) / sizeof(sizes[0]) };
	struct vt_err err = VT_ERR_INIT;
	char *dir = scratch("files"), *copies = scratch("copies");
	unsigned char *text = vt_xmalloc(3000000);
	int copies_fd;

	for (size_t i = 0; i < 3000000; i++)
		text[i] = (unsigned char)(i * 2654435761u >> 13);
	CHECK_EQ(vt_fs_mkdirs(dir, &err), 0);
	CHECK_EQ(vt_fs_mkdirs(copies, &err), 0);
	copies_fd = open(copies, O_RDONLY | O_DIRECTORY);
	for (size_t i = 0; i < 3 * N; i++) {
		char name[32];

		snprintf(name, sizeof(name), "f%03zu", i);
		write_file(dir, name, text, sizes[i % N]);
	}
	for (unsigned threads = 1; threads <= 4; threads++)
		for (int copy = 0; copy < 2; copy++) {
			struct vt_fileset s;

			vt_parallel_set_threads(threads);
			vt_fileset_begin(&s);
			CHECK_EQ(vt_fileset_dir(&s, dir, &err), 0);
			CHECK_EQ(s.n, 3 * N);
			for (size_t i = 0; i < s.n; i++) {
				s.file[i].wanted = true;
				s.file[i].copy = copy ? VT_FILESET_COPY : VT_FILESET_HASH;
			}
			CHECK_EQ(vt_fileset_hash(&s, copies_fd, "c", VT_FILESET_FIRST_FAULT, &err),
				0);
			CHECK_EQ(vt_fileset_fault(&s, &err), 0);
			for (size_t i = 0; i < s.n; i++)
				check_file(&s.file[i], copy ? copies : NULL, text, sizes[i % N]);
			vt_fileset_release(&s);
		}
	vt_parallel_set_threads(0);
	close(copies_fd);
	CHECK_EQ(vt_fs_remove_tree(dir, &err), 0);
	CHECK_EQ(vt_fs_remove_tree(copies, &err), 0);
	free(text);
	free(dir);
	free(copies);
}

/* A file that is not the one that was found: another inode, another size, another time. */
static void changed_files_are_refused(void)
{
	struct vt_err err = VT_ERR_INIT;
	char *dir = scratch("changing"), *path = vt_path_join(dir, "b");
	struct timespec past[2] = { { 1000000000, 5 }, { 1000000000, 5 } };

	for (int kind = 0; kind < 4; kind++) {
		struct vt_fileset s;

		CHECK_EQ(vt_fs_mkdirs(dir, &err), 0);
		write_file(dir, "a", (const unsigned char *)"aaaa", 4);
		write_file(dir, "b", (const unsigned char *)"bbbb", 4);
		vt_fileset_begin(&s);
		CHECK_EQ(vt_fileset_dir(&s, dir, &err), 0);
		s.file[0].wanted = s.file[1].wanted = true;
		if (kind == 0)
			CHECK_EQ(truncate(path, 2), 0);
		else if (kind == 1)
			CHECK_EQ(utimensat(AT_FDCWD, path, past, 0), 0);
		else if (kind == 2)
			write_file(dir, "b", (const unsigned char *)"cccc", 4);
		else
			unlink(path);
		CHECK_EQ(vt_fileset_hash(&s, -1, NULL, VT_FILESET_ALL, &err), 0);
		CHECK(s.file[0].code == 0 && s.file[0].wanted);
		CHECK_EQ(s.file[1].code, kind == 3 ? VT_ENOINPUT : VT_EIO);
		CHECK(s.file[1].fault && strstr(s.file[1].fault, "changing/b: "));
		vt_fileset_release(&s);
	}
	CHECK_EQ(vt_fs_remove_tree(dir, &err), 0);
	free(path);
	free(dir);
}

static void stat_cache_trusts_what_did_not_move(void)
{
	struct vt_err err = VT_ERR_INIT;
	char *path = scratch("stat-cache");
	const int64_t now = 1000000000123456789;
	struct vt_stamp old = { 1, 2, 3, now - 1000000000, now - 1000000000 },
			racy = { 1, 3, 3, now - 1000000, now },
			whole = { 1, 4, 3, 999999999000000000, now };
	struct vt_digest d = vt_digest_bytes("x", 1), got;
	struct vt_stat_cache *c = vt_stat_cache_open(path);
	struct vt_stamp s = old;

	vt_stat_cache_add(c, &old, &d, now);
	vt_stat_cache_add(c, &racy, &d, now);
	vt_stat_cache_add(c, &whole, &d, now);
	CHECK_EQ(vt_stat_cache_save(c, NULL, NULL, &err), 0);
	vt_stat_cache_close(c);
	c = vt_stat_cache_open(path);
	CHECK(vt_stat_cache_find(c, &got, &old, VT_STAT_EXACT) && vt_digest_equal(&got, &d));
	CHECK(!vt_stat_cache_find(c, &got, &racy, VT_STAT_EXACT));
	CHECK(!vt_stat_cache_find(c, &got, &whole, VT_STAT_EXACT));
	s.ctime++;
	CHECK(!vt_stat_cache_find(c, &got, &s, VT_STAT_EXACT) &&
		vt_stat_cache_find(c, &got, &s, VT_STAT_SEALED));
	s.mtime++;
	CHECK(!vt_stat_cache_find(c, &got, &s, VT_STAT_SEALED) && vt_stat_cache_was(c, &got, &s));
	s = old;
	s.size++;
	CHECK(!vt_stat_cache_find(c, &got, &s, VT_STAT_SEALED));
	s = old;
	s.dev++;
	CHECK(!vt_stat_cache_was(c, &got, &s));
	vt_stat_cache_close(c);
	CHECK_EQ(truncate(path, 100), 0);
	c = vt_stat_cache_open(path);
	CHECK(!vt_stat_cache_was(c, &got, &old));
	vt_stat_cache_close(c);
	unlink(path);
	free(path);
}

static void digest_sets(void)
{
	struct vt_digest_set s = VT_DIGEST_SET_INIT;
	enum { N = 5000 };

	for (int round = 0; round < 2; round++)
		for (int i = 0; i < N; i++) {
			struct vt_digest d = vt_digest_bytes(&i, sizeof(i));

			CHECK_EQ(vt_digest_set_add(&s, &d), round == 0);
		}
	CHECK_EQ(s.n, N);
	for (int i = 0; i < 2 * N; i++) {
		struct vt_digest d = vt_digest_bytes(&i, sizeof(i));

		CHECK_EQ(vt_digest_set_has(&s, &d), i < N);
	}
	vt_digest_set_release(&s);
}

int main(void)
{
	RUN(fips_180_4_examples);
	RUN(lanes_equal_openssl);
	RUN(files_equal_openssl);
	RUN(changed_files_are_refused);
	RUN(stat_cache_trusts_what_did_not_move);
	RUN(digest_sets);
	return check_done();
}
