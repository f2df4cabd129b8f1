/* gz_read.c - reading .nii.gz: the volume reader, which also makes sense of the header, against
 * the bare inflate of the same file in memory by zlib, libdeflate and (where libisal-dev is
 * installed) ISA-L, checksums checked by all.  Best of N, one thread's CPU time.
 *      gz_read FILE.nii.gz [N] */
#include <dlfcn.h>
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#if __has_include(<isa-l/igzip_lib.h>)
#include <isa-l/igzip_lib.h>
#define HAVE_ISAL
#endif
#include <libdeflate.h>
#include <sys/mman.h>
#include <zlib.h>

#include "common/base/fs.h"
#include "common/base/parallel.h"
#include "common/image/volume.h"

static double cpu(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static size_t content_size;

static void with_zlib(const struct vt_map *map, unsigned char *out)
{
	z_stream z;
	memset(&z, 0, sizeof(z));
	inflateInit2(&z, 31);
	z.next_in = (unsigned char *)map->data;
	z.avail_in = (uInt)map->size;
	z.next_out = out;
	z.avail_out = (uInt)content_size;
	inflate(&z, Z_FINISH);
	inflateEnd(&z);
}

static void with_libdeflate(const struct vt_map *map, unsigned char *out)
{
	struct libdeflate_decompressor *d = libdeflate_alloc_decompressor();
	size_t n;
	libdeflate_gzip_decompress(d, map->data, map->size, out, content_size, &n);
	libdeflate_free_decompressor(d);
}

/* Loaded at run time, because nothing else needs it; checks the trailer as the others do. */
static void with_isal(const struct vt_map *map, unsigned char *out)
{
#ifdef HAVE_ISAL
	static void *lib;
	static int (*step)(struct inflate_state *);
	static void (*init)(struct inflate_state *);
	static struct inflate_state state;
	if (!lib && (lib = dlopen("libisal.so.2", RTLD_NOW))) {
		step = (int (*)(struct inflate_state *))dlsym(lib, "isal_inflate");
		init = (void (*)(struct inflate_state *))dlsym(lib, "isal_inflate_init");
	}
	if (!lib || !step || !init)
		return;
	init(&state);
	state.crc_flag = ISAL_GZIP;
	state.next_in = (uint8_t *)map->data;
	state.avail_in = (uint32_t)map->size;
	state.next_out = out;
	state.avail_out = (uint32_t)content_size;
	step(&state);
#else
	(void)map;
	(void)out;
#endif
}

/* out NULL: into pages fresh from the kernel each time, as a process that reads a scan once has
 * to; on huge pages where there are any, as the reader asks for. */
static double best_of(int n, void (*f)(const struct vt_map *, unsigned char *),
	const struct vt_map *map, unsigned char *out)
{
	double best = 1e9;
	size_t size = content_size + (4u << 20);
	for (int i = 0; i < n; i++) {
		double t = cpu();
		unsigned char *own = NULL;
		if (!out) {
			own = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
				-1, 0);
			madvise(own, size, MADV_HUGEPAGE);
		}
		f(map, out ? out : own);
		if (own)
			munmap(own, size);
		t = cpu() - t;
		best = t < best ? t : best;
	}
	return best;
}

static const char *path;

static void with_reader(const struct vt_map *map, unsigned char *out)
{
	struct vt_volume v;
	struct vt_err err = VT_ERR_INIT;
	(void)map;
	(void)out;
	if (vt_volume_read(&v, path, VT_VOLUME_FRAMES | VT_VOLUME_RAW, &err))
		exit(err.code);
	vt_volume_release(&v);
}

int main(int argc, char **argv)
{
	struct vt_map m;
	struct vt_err err = VT_ERR_INIT;
	int n = argc > 2 ? atoi(argv[2]) : 10;
	if (argc < 2 || vt_fs_map(&m, path = argv[1], &err)) {
		fprintf(stderr, "usage: gz_read FILE.nii.gz [N]\n%s\n", err.text);
		return 64;
	}
	/* The reader's own memory shall come from the kernel each time too. */
	mallopt(M_MMAP_THRESHOLD, 1 << 20);
	vt_parallel_set_threads(1);
	uint32_t size;
	memcpy(&size, m.data + m.size - 4, 4);
	content_size = size;
	unsigned char *out = malloc(content_size);
	memset(out, 1, content_size);
	static const struct {
		const char *name;
		void (*f)(const struct vt_map *, unsigned char *);
	} peers[] = {
		{ "zlib inflate", with_zlib },
		{ "libdeflate", with_libdeflate },
		{ "ISA-L inflate", with_isal },
		{ "vt_volume_read", with_reader },
	};
	printf("%-24s %18s %18s\n", "CPU, one thread", "fresh memory", "warm buffer");
	for (size_t i = 0; i < sizeof(peers) / sizeof(peers[0]); i++) {
		double t = best_of(n, peers[i].f, &m, NULL), w = best_of(n, peers[i].f, &m, out);
		printf("%-24s %9.2f ms %4.0f MB/s", peers[i].name, t * 1e3,
			(double)content_size / t / 1e6);
		if (peers[i].f != with_reader)
			printf(" %7.2f ms %4.0f MB/s", w * 1e3, (double)content_size / w / 1e6);
		printf("\n");
	}
	free(out);
	vt_fs_unmap(&m);
	return 0;
}
