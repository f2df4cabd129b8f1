/* The emulated device (tests/gpu/emulate.c) with its launches made by launch.cu's compiled host
 * code and run from nvcc's PTX.
 *
 * The linker puts __wrap_X where X is called (--wrap), so nothing of the device is written
 * twice.  Each launch is made twice from the same memory, by the host's compilation of the
 * bodies and by PTX; every byte of the device must then be the same (a NaN may be another NaN).
 * Between launches the bytes that the host reads, or a convolution, must have been written.
 *
 *      VOXTRAIL_PTX=FILE        the PTX of launch.cu
 *      VOXTRAIL_PTX_LOG=FILE    gets a line for each kernel that was launched: launches,
 *                               instructions, name
 *
 * What is wrong is the error of the next call, as a GPU's errors are. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/gpu/emulate.h"
#include "gpu/kernel/launch.h"
#include "gpu/engine/link.h"
#include "gpu/engine/plugin.h"
#include "tests/gpu/ptx_device.h"

/* bytes of memory; beyond them launches are only watched */
enum { MOST_COMPARED = 16 << 20 };

int __real_vg_device_open(struct vg_device **out, int card, int of, const char *engines,
	struct vt_err *err);
int __wrap_vg_device_open(struct vg_device **out, int card, int of, const char *engines,
	struct vt_err *err);
int __real_vg_link_open(struct vg_link **out, struct vg_device *const *rank, int n,
	struct vt_err *err);
int __wrap_vg_link_open(struct vg_link **out, struct vg_device *const *rank, int n,
	struct vt_err *err);
void __real_vg_emulate_kernel(int kernel, const void *args, uint32_t items, int backwards);
void __wrap_vg_emulate_kernel(int kernel, const void *args, uint32_t items, int backwards);
void __real_vg_emulate_conv(const struct vg_conv_spec *s, void *x, void *w, void *y);
void __wrap_vg_emulate_conv(const struct vg_conv_spec *s, void *x, void *w, void *y);

static const struct vg_device_ops *emulated;
static struct vt_err pending;
/* GPUs have a thread each; one works at a time */
static pthread_mutex_t one = PTHREAD_MUTEX_INITIALIZER;

static const char *name_of(int kernel)
{
#define ROW(name) #name,
	static const char *const names[] = { VG_MAPS(ROW) "sums", "sums_fold" };

	return names[kernel];
}

static int done(int rc)
{
	pthread_mutex_unlock(&one);
	return rc;
}

/* Takes the lock; what went wrong before. */
static int enter(struct vt_err *err)
{
	pthread_mutex_lock(&one);
	if (pending.code)
		*err = pending;
	return pending.code;
}

/* --- memory -------------------------------------------------------------- */

static int alloc(struct vg_device *d, void **p, size_t nbytes, struct vt_err *err)
{
	int rc = enter(err);

	if (!rc)
		rc = emulated->alloc(d, p, nbytes, err);
	if (!rc)
		ptx_memory_add(ptx_runtime.memory, (uintptr_t)*p, nbytes, NULL, false);
	return done(rc);
}

static void release(struct vg_device *d, void *p)
{
	pthread_mutex_lock(&one);
	if (p)
		ptx_memory_remove(ptx_runtime.memory, (uintptr_t)p);
	emulated->release(d, p);
	pthread_mutex_unlock(&one);
}

static int upload(struct vg_device *d, void *to, const void *from, size_t nbytes,
	struct vt_err *err)
{
	int rc = enter(err);

	ptx_memory_wrote(ptx_runtime.memory, to, nbytes);
	return done(rc ? rc : emulated->upload(d, to, from, nbytes, err));
}

static int clear(struct vg_device *d, void *p, size_t nbytes, struct vt_err *err)
{
	int rc = enter(err);

	ptx_memory_wrote(ptx_runtime.memory, p, nbytes);
	return done(rc ? rc : emulated->clear(d, p, nbytes, err));
}

static void must_be_written(const char *what, const void *p, uint64_t n)
{
	uint64_t at = ptx_memory_unwritten(ptx_runtime.memory, p, n);

	if (at < n && !pending.code)
		vt_err_set(&pending, VT_EBUG, "%s reads byte %llu of %llu, which nobody wrote",
			what, (unsigned long long)at, (unsigned long long)n);
}

static int download(struct vg_device *d, void *to, const void *from, size_t nbytes,
	struct vt_err *err)
{
	int rc = enter(err);

	if (!rc) {
		must_be_written("a download", from, nbytes);
		done(0);
		rc = enter(err);
	}
	return done(rc ? rc : emulated->download(d, to, from, nbytes, err));
}

static int run(struct vg_device *d, enum vg_kernel kernel, const void *args, uint32_t items,
	struct vt_err *err)
{
	int rc = enter(err);

	return done(rc ? rc : emulated->run(d, kernel, args, items, err));
}

static int replay(struct vg_device *d, struct vg_tape *t, struct vt_err *err)
{
	int rc = enter(err);

	return done(rc ? rc : emulated->replay(d, t, err));
}

static int convolve(struct vg_device *d, struct vg_conv *c, void *x, void *w, void *y,
	void *workspace, struct vt_err *err)
{
	int rc = enter(err);

	return done(rc ? rc : emulated->convolve(d, c, x, w, y, workspace, err));
}

void __wrap_vg_emulate_conv(const struct vg_conv_spec *s, void *x, void *w, void *y)
{
	uint64_t bytes = vg_type_size(s->type), taps = (uint64_t)(s->k * s->k * s->k);
	uint64_t n[3] = { vg_chunks(&s->x) * VG_LANES * bytes,
		(uint64_t)(s->x.chunks * s->y.chunks) * VG_LANES * VG_LANES * taps * bytes,
		vg_chunks(&s->y) * VG_LANES * bytes };
	void *t[3] = { x, w, y };
	int result = s->kind == VG_CONV_FORWARD ? 2 : s->kind == VG_CONV_DATA ? 0 : 1;

	for (int i = 0; i < 3; i++)
		if (i != result)
			must_be_written("a convolution", t[i], n[i]);
	__real_vg_emulate_conv(s, x, w, y);
	ptx_memory_wrote(ptx_runtime.memory, t[result], n[result]);
}

static const struct vg_link_ops *copies;

static int exchange(struct vg_link *l, const struct vg_move *m, int n, struct vt_err *err)
{
	int rc = enter(err);

	for (int i = 0; !rc && i < n; i++) {
		must_be_written("a copy to another GPU", m[i].source, m[i].nbytes);
		ptx_memory_wrote(ptx_runtime.memory, m[i].target, m[i].nbytes);
	}
	return done(rc ? rc : copies->exchange(l, m, n, err));
}

int __wrap_vg_link_open(struct vg_link **out, struct vg_device *const *rank, int n,
	struct vt_err *err)
{
	static struct vg_link_ops ops;
	int rc = __real_vg_link_open(out, rank, n, err);

	if (rc)
		return rc;
	copies = (*out)->ops;
	ops = *copies;
	ops.exchange = exchange;
	(*out)->ops = &ops;
	return 0;
}

/* --- launches ------------------------------------------------------------ */

/* Only arrays that an argument points into are open to the launch; their bytes. */
static uint64_t open_arrays(int kernel, const void *args)
{
	uint64_t n = 0;

	for (size_t i = 0; i < ptx_runtime.memory->n; i++)
		ptx_runtime.memory->region[i].closed = !ptx_runtime.memory->region[i].constant;
	for (size_t at = 0; at + 8 <= vg_emulate_args(kernel); at += 8) {
		struct ptx_region *g;
		uint64_t word;

		memcpy(&word, (const uint8_t *)args + at, 8);
		g = ptx_memory_find(ptx_runtime.memory, word);
		if (g && g->closed) {
			g->closed = false;
			n += g->size;
		}
	}
	return n;
}

/* All open arrays to p, or back. */
static void copy_all(uint8_t *p, bool back)
{
	for (size_t i = 0; i < ptx_runtime.memory->n; i++) {
		const struct ptx_region *g = &ptx_runtime.memory->region[i];

		if (g->constant || g->closed)
			continue;
		if (back)
			memcpy(g->host, p, g->size);
		else
			memcpy(p, g->host, g->size);
		p += g->size;
	}
}

static bool both_nan(const uint8_t *p, const uint8_t *q, uint64_t at)
{
	uint32_t a, b;

	memcpy(&a, p + at / 4 * 4, 4);
	memcpy(&b, q + at / 4 * 4, 4);
	return (a & 0x7fffffffu) > 0x7f800000u && (b & 0x7fffffffu) > 0x7f800000u;
}

/* Memory after PTX against `want`, memory after the host's launch. */
static void compare(int kernel, uint32_t items, const uint8_t *want)
{
	for (size_t i = 0; i < ptx_runtime.memory->n; i++) {
		const struct ptx_region *g = &ptx_runtime.memory->region[i];
		uint64_t at = 0, end = g->size;

		if (g->constant || g->closed)
			continue;
		if (memcmp(g->host, want, g->size))
			while (at < end &&
				(g->host[at] == want[at] ||
					(at / 4 * 4 + 4 <= end && both_nan(g->host, want, at))))
				at++;
		else
			at = end;
		if (at < end) {
			uint32_t got = 0, wanted = 0;
			uint64_t n = end - at / 4 * 4 < 4 ? end - at / 4 * 4 : 4;

			memcpy(&got, g->host + at / 4 * 4, n);
			memcpy(&wanted, want + at / 4 * 4, n);
			vt_err_set(&pending, VT_EBUG,
				"%s of %u items: PTX leaves 0x%08x at byte %llu of an array of "
				"%llu, the host's compilation 0x%08x",
				name_of(kernel), items, got, (unsigned long long)at / 4 * 4,
				(unsigned long long)g->size, wanted);
			return;
		}
		want += g->size;
	}
}

void __wrap_vg_emulate_kernel(int kernel, const void *args, uint32_t items, int backwards)
{
	uint64_t n = open_arrays(kernel, args);
	static uint8_t before[MOST_COMPARED], after[MOST_COMPARED];
	bool compared = n <= MOST_COMPARED;
	int rc;

	if (pending.code)
		return;
	if (compared) {
		copy_all(before, false);
		__real_vg_emulate_kernel(kernel, args, items, backwards);
		copy_all(after, false);
		copy_all(before, true);
	}
	ptx_runtime.backwards = backwards;
	rc = vg_launch(kernel, args, items, NULL);
	if (rc)
		vt_err_set(&pending, VT_EBUG, "%s of %u items: error %d: %s", name_of(kernel),
			items, rc, ptx_runtime.err.text);
	else if (compared)
		compare(kernel, items, after);
}

/* --- the device ---------------------------------------------------------- */

static void write_log(void)
{
	const char *path = getenv("VOXTRAIL_PTX_LOG");
	FILE *f = path ? fopen(path, "a") : NULL;

	for (size_t i = 0; f && i < ptx_runtime.module->n_kernels; i++) {
		struct ptx_kernel *k = &ptx_runtime.module->kernel[i];

		if (k->launches)
			fprintf(f, "%llu %llu %s\n", (unsigned long long)k->launches,
				(unsigned long long)k->instructions, k->name);
		k->launches = k->instructions = 0;
	}
	if (f)
		fclose(f);
}

static void close_device(struct vg_device *d)
{
	pthread_mutex_lock(&one);
	write_log();
	pending.code = 0;
	emulated->close(d);
	pthread_mutex_unlock(&one);
}

int __wrap_vg_device_open(struct vg_device **out, int card, int of, const char *engines,
	struct vt_err *err)
{
	static struct vg_device_ops ops;
	int rc = ptx_runtime_open(err);

	if (!rc)
		rc = __real_vg_device_open(out, card, of, engines, err);
	if (rc)
		return rc;
	emulated = (*out)->ops;
	ops = *emulated;
	ops.alloc = alloc;
	ops.release = release;
	ops.upload = upload;
	ops.download = download;
	ops.clear = clear;
	ops.run = run;
	ops.replay = replay;
	ops.convolve = convolve;
	ops.close = close_device;
	(*out)->ops = &ops;
	return 0;
}
