/* Shadows of the arrays.  Granules are four bytes wide until somebody stores less; then the
 * array's become that narrow, and what was noted about it is forgotten, which can only hide a
 * finding of that one launch. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "common/base/buf.h"
#include "tests/gpu/ptx_memory.h"

/* Zero pages, given when touched. */
static void *pages(uint64_t nbytes)
{
	void *p = mmap(NULL, nbytes, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		abort();
	return p;
}

static uint64_t cells_bytes(const struct ptx_region *g)
{
	return ((g->size >> g->shift) + 1) * sizeof(struct ptx_cell);
}

void ptx_region_make(struct ptx_region *g, uint64_t base, uint64_t size, void *host, bool constant)
{
	*g = (struct ptx_region){ .base = base,
		.size = size,
		.host = host ? host : (void *)(uintptr_t)base,
		.shift = 2,
		.constant = constant };
	if (size) {
		g->written = pages(size + 1);
		g->cell = pages(cells_bytes(g));
	}
}

void ptx_region_release(struct ptx_region *g)
{
	if (g->size) {
		munmap(g->written, g->size + 1);
		munmap(g->cell, cells_bytes(g));
	}
}

void ptx_memory_clear_region(struct ptx_region *g)
{
	memset(g->written, 0, g->size);
	memset(g->cell, 0, cells_bytes(g));
}

struct ptx_memory *ptx_memory_new(void)
{
	struct ptx_memory *m = vt_xcalloc(1, sizeof(*m));

	m->next = 1;
	return m;
}

void ptx_memory_free(struct ptx_memory *m)
{
	for (size_t i = 0; m && i < m->n; i++)
		ptx_region_release(&m->region[i]);
	if (m)
		free(m->region);
	free(m);
}

void ptx_memory_add(struct ptx_memory *m, uint64_t base, uint64_t size, void *host, bool constant)
{
	size_t i = m->n;

	m->region = vt_xrealloc(m->region, (m->n + 1) * sizeof(*m->region));
	for (; i && m->region[i - 1].base > base; i--)
		m->region[i] = m->region[i - 1];
	ptx_region_make(&m->region[i], base, size, host, constant);
	m->n++;
}

void ptx_memory_remove(struct ptx_memory *m, uint64_t base)
{
	for (size_t i = 0; i < m->n; i++)
		if (m->region[i].base == base) {
			ptx_region_release(&m->region[i]);
			memmove(m->region + i, m->region + i + 1,
				(m->n - i - 1) * sizeof(*m->region));
			m->n--;
			return;
		}
}

struct ptx_region *ptx_memory_find(struct ptx_memory *m, uint64_t address)
{
	size_t low = 0, high = m->n;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (m->region[mid].base <= address)
			low = mid + 1;
		else
			high = mid;
	}
	return low && address - m->region[low - 1].base < m->region[low - 1].size
		? &m->region[low - 1]
		: NULL;
}

void ptx_memory_wrote(struct ptx_memory *m, const void *p, uint64_t n)
{
	struct ptx_region *g = ptx_memory_find(m, (uintptr_t)p);

	if (g && n <= g->size - ((uintptr_t)p - g->base))
		memset(g->written + ((uintptr_t)p - g->base), 1, n);
}

uint64_t ptx_memory_unwritten(struct ptx_memory *m, const void *p, uint64_t n)
{
	struct ptx_region *g = ptx_memory_find(m, (uintptr_t)p);
	const uint8_t *at;

	if (!g || n > g->size - ((uintptr_t)p - g->base))
		return 0;
	at = memchr(g->written + ((uintptr_t)p - g->base), 0, n);
	return at ? (uint64_t)(at - g->written) - ((uintptr_t)p - g->base) : n;
}

/* Tags are used up: begins again with clean shadows. */
static void renew(struct ptx_memory *m)
{
	for (size_t i = 0; i < m->n; i++) {
		munmap(m->region[i].cell, cells_bytes(&m->region[i]));
		m->region[i].cell = pages(cells_bytes(&m->region[i]));
	}
	m->next = 1;
}

void ptx_memory_next(struct ptx_memory *m, enum ptx_meet what, uint32_t threads)
{
	if (what == PTX_NEW_LAUNCH && m->next > UINT32_MAX / 2)
		renew(m);
	m->segment = m->next;
	if (what <= PTX_NEW_BLOCK)
		m->block = m->segment;
	if (what == PTX_NEW_LAUNCH)
		m->launch = m->segment;
	else
		m->next += threads + 1;
}

static void narrow(struct ptx_region *g, unsigned size)
{
	munmap(g->cell, cells_bytes(g));
	g->shift = size == 1 ? 0 : 1;
	g->cell = pages(cells_bytes(g));
}

/* Whether a tag is another thread's with no barrier between: of another block, or of this
 * segment. */
static inline bool foreign(const struct ptx_memory *m, uint32_t tag, uint32_t own)
{
	return tag >= m->launch && tag != own && (tag < m->block || tag >= m->segment);
}

static const char *note(struct ptx_memory *m, struct ptx_cell *c, bool store, uint32_t own)
{
	if (foreign(m, c->writer, own))
		return store ? "writes what another thread wrote"
			     : "reads what another thread wrote with no barrier between";
	if (store) {
		if (foreign(m, c->reader, own))
			return "writes what another thread read with no barrier between";
		c->writer = own;
	} else if (c->reader < m->launch || (c->reader >= m->block && c->reader < m->segment)) {
		c->reader = own;
	} else if (c->reader != own && c->reader >= m->segment) {
		c->reader = m->segment;
	}
	return NULL;
}

/* n of 1, 2, 4, 8 or 16 flags, aligned to n like the array: pages are. */
static const char *written(struct ptx_region *g, uint64_t offset, unsigned n, bool store)
{
	static const uint64_t ones = 0x0101010101010101u;
	uint64_t flags = ones;

	for (unsigned i = 0; i < n; i += 8) {
		uint8_t *at = g->written + offset + i;

		if (n >= 8)
			store ? memcpy(at, &ones, 8) : memcpy(&flags, at, 8);
		else if (n == 4)
			store ? memcpy(at, &ones, 4) : memcpy(&flags, at, 4);
		else if (n == 2)
			store ? memcpy(at, &ones, 2) : memcpy(&flags, at, 2);
		else if (store)
			*at = 1;
		else
			memcpy(&flags, at, 1);
		if (flags != ones && !g->constant)
			return "reads what nobody wrote";
	}
	return NULL;
}

const char *ptx_memory_access(struct ptx_memory *m, struct ptx_region *g, uint64_t offset,
	unsigned n, unsigned element, bool store, uint32_t thread)
{
	uint32_t own = m->segment + 1 + thread;
	const char *wrong;

	if (offset > g->size || n > g->size - offset)
		return store ? "writes beyond the end of an array"
			     : "reads beyond the end of an array";
	if ((g->base + offset) % n)
		return "is not aligned to its size";
	if (g->closed)
		return "touches an array that no argument points into";
	if (store && g->constant)
		return "writes a constant";
	wrong = written(g, offset, n, store);
	if (wrong || g->constant)
		return wrong;
	if (store && element < 1u << g->shift)
		narrow(g, element);
	for (uint64_t i = offset >> g->shift; i <= (offset + n - 1) >> g->shift; i++) {
		wrong = note(m, &g->cell[i], store, own);
		if (wrong)
			return wrong;
	}
	return NULL;
}
