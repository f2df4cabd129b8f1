/* Device and pinned memory.  Addresses are never used twice, so that a use after free is one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "tests/gpu/mock/mock.h"

enum { PAGE = 4096, ALIGNMENT = 256, FILLED = 0xff, BESIDE = 0xa5 };

#define SPACE ((size_t)1 << 42)
#define SMALL ((uintptr_t)1 << 28)

struct block {
	char *base, *p;
	size_t mapped, n;
	enum mock_place place;
	int card, pending;
	bool live;
};

static struct {
	char *space;
	size_t used;
	struct block *block; /* in order of their addresses */
	int n, cap, open;
} s;

static struct block *add_block(void)
{
	if (s.n == s.cap) {
		s.cap = s.cap ? 2 * s.cap : 256;
		s.block = realloc(s.block, (size_t)s.cap * sizeof(*s.block));
		if (!s.block)
			mock_die("out of memory");
	}
	return &s.block[s.n++];
}

/* The allocation whose pages hold p, whether it lives or not. */
static struct block *find(const void *p)
{
	int lo = 0, hi = s.n;

	while (lo < hi) {
		int mid = (lo + hi) / 2;
		const struct block *b = &s.block[mid];

		if ((const char *)p < b->base)
			hi = mid;
		else if ((const char *)p >= b->base + b->mapped)
			lo = mid + 1;
		else
			return &s.block[mid];
	}
	return NULL;
}

size_t mock_memory_room(int card, size_t *all)
{
	const char *said = getenv("VOXTRAIL_MOCK_MEMORY");
	size_t total = (size_t)(said ? strtol(said, NULL, 10) : 4096) << 20, used = 0;

	for (int i = 0; i < s.n; i++)
		used += s.block[i].live && s.block[i].place == MOCK_DEVICE &&
				s.block[i].card == card
			? s.block[i].mapped
			: 0;
	if (all)
		*all = total;
	return total > used ? total - used : 0;
}

/* No address has a small number in its lower half, so that an int beside what is left of an
 * address on the stack is none. */
static size_t past_small(size_t at, size_t mapped)
{
	uintptr_t from = (uintptr_t)s.space + at, low = from & 0xffffffff;

	if (low >= SMALL && low + mapped <= (uintptr_t)1 << 32)
		return at;
	return at + (low < SMALL ? SMALL - low : ((uintptr_t)1 << 32) - low + SMALL);
}

void *mock_memory_new(enum mock_place place, int card, size_t nbytes)
{
	size_t n = (nbytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT,
	       mapped = (n + 2 * ALIGNMENT + PAGE - 1) / PAGE * PAGE;
	struct block *b;

	if (!s.space)
		s.space = mmap(NULL, SPACE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
			-1, 0);
	s.used = past_small(s.used + PAGE, mapped);
	if (s.space == MAP_FAILED || s.used + mapped + PAGE > SPACE ||
		(place == MOCK_DEVICE && mapped > mock_memory_room(card, NULL)))
		return NULL;
	b = add_block();
	*b = (struct block){ .base = s.space + s.used,
		.mapped = mapped,
		.n = nbytes,
		.place = place,
		.card = card,
		.live = true };
	b->p = place == MOCK_PINNED ? b->base : b->base + mapped - n;
	if (place == MOCK_DEVICE && (uintptr_t)b->p % (2 * ALIGNMENT) == 0)
		b->p -= ALIGNMENT; /* aligned to 256 bytes, as is promised, and no more */
	s.used += mapped;
	if (mprotect(b->base, mapped, PROT_READ | PROT_WRITE))
		mock_die("out of memory");
	if (place == MOCK_DEVICE) {
		memset(b->base, BESIDE, mapped);
		memset(b->p, FILLED, nbytes);
	}
	if (place == MOCK_DEVICE && !s.open)
		mprotect(b->base, mapped, PROT_NONE);
	return b->p;
}

static void check_beside(const struct block *b)
{
	for (const char *q = b->base; q < b->base + b->mapped; q++)
		if ((q < b->p || q >= b->p + b->n) && *q != (char)BESIDE)
			mock_die("something was written %td bytes from an allocation of %zu bytes",
				q < b->p ? q - b->p : q - b->p - (ptrdiff_t)b->n, b->n);
}

void mock_memory_free(void *p, enum mock_place place)
{
	struct block *b = find(p);

	if (!b || b->p != p || b->place != place)
		mock_die("%p is freed and was not allocated so", p);
	if (!b->live)
		mock_die("%p is freed twice", p);
	if (b->pending)
		mock_die("%p (%zu bytes) is freed while queued work uses it", p, b->n);
	mprotect(b->base, b->mapped, PROT_READ);
	if (place == MOCK_DEVICE)
		check_beside(b);
	mprotect(b->base, b->mapped, PROT_NONE);
	madvise(b->base, b->mapped, MADV_DONTNEED);
	b->live = false;
}

enum mock_place mock_memory_place(const void *p)
{
	const char *q = p;
	const struct block *b = find(p);

	if (b)
		return b->place;
	if (s.space && q >= s.space && q < s.space + s.used)
		mock_die("%p lies between allocations", p);
	return MOCK_PAGEABLE;
}

void mock_memory_check(const void *p, size_t n, enum mock_place place, const char *what)
{
	const struct block *b = find(p);
	const char *q = p;

	if (!b || b->place != place)
		mock_die("%s: %p is not in %s memory", what, p,
			place == MOCK_DEVICE ? "device" : "pinned");
	if (!b->live)
		mock_die("%s: %p is used after it was freed", what, p);
	if (q < b->p || q + n > b->p + b->n)
		mock_die("%s: %zu bytes at %td leave an allocation of %zu bytes", what, n, q - b->p,
			b->n);
}

int mock_memory_card(const void *p)
{
	return find(p)->card;
}

int mock_memory_block(const void *p)
{
	const struct block *b = find(p);

	if (!b || b->place != MOCK_DEVICE)
		return -1;
	if (!b->live)
		mock_die("%p is used after it was freed", p);
	return (int)(b - s.block);
}

bool mock_memory_host(const void *p)
{
	uintptr_t page = (uintptr_t)p / PAGE * PAGE;
	unsigned char in;

	if ((const char *)p >= s.space && (const char *)p < s.space + SPACE)
		return false;
	return (page & 0xffffffff) >= SMALL && page >> 46 == 1 && !mincore((void *)page, PAGE, &in);
}

void mock_memory_pending(int block, int change)
{
	s.block[block].pending += change;
}

static void protect_all(int prot)
{
	for (int i = 0; i < s.n; i++)
		if (s.block[i].live && s.block[i].place == MOCK_DEVICE)
			mprotect(s.block[i].base, s.block[i].mapped, prot);
}

void mock_memory_open(void)
{
	if (!s.open++)
		protect_all(PROT_READ | PROT_WRITE);
}

void mock_memory_shut(void)
{
	if (!--s.open)
		protect_all(PROT_NONE);
}

void mock_memory_protect(const void *p, size_t n, bool writable, bool readable)
{
	char *from = (char *)(((uintptr_t)p + PAGE - 1) / PAGE * PAGE),
	     *to = (char *)(((uintptr_t)p + n) / PAGE * PAGE);

	if (to > from)
		mprotect(from, (size_t)(to - from),
			(readable ? PROT_READ : 0) | (writable ? PROT_WRITE : 0));
}

int mock_memory_leaks(bool say)
{
	int n = 0;

	for (int i = 0; i < s.n; i++) {
		n += s.block[i].live;
		if (say && s.block[i].live)
			fprintf(stderr, "stand-in: %zu bytes of %s memory were not freed\n",
				s.block[i].n,
				s.block[i].place == MOCK_DEVICE ? "device" : "pinned");
	}
	return n;
}
