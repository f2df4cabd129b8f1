/* ptx_memory.h - arrays a kernel may touch, and who touched what. */
#ifndef TESTS_GPU_PTX_MEMORY_H
#define TESTS_GPU_PTX_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Who wrote and who read a granule last: 0 or a tag of ptx_memory. */
struct ptx_cell {
	uint32_t writer, reader;
};

/* Addresses base .. base + size - 1, kept at `host`.  Shadows are zero pages until they are
 * touched, so a sparse array of many gigabytes costs what is used of it. */
struct ptx_region {
	uint64_t base, size;
	uint8_t *host, *written; /* written: one byte a byte */
	struct ptx_cell *cell;   /* one for 2^shift bytes */
	unsigned shift;
	/* nothing may write it; nothing may touch it in this launch */
	bool constant, closed;
};

/* Threads of one segment (a block between two barriers) have tags segment + 1 + thread; segment
 * itself as a reader is `several threads of this segment`.  Tags from block on are of this
 * block, from launch on of this launch, lower ones of the past. */
struct ptx_memory {
	struct ptx_region *region; /* by base */
	size_t n;
	uint32_t launch, block, segment, next;
};

struct ptx_memory *ptx_memory_new(void);
void ptx_memory_free(struct ptx_memory *m);

/* host NULL: at the address itself. */
void ptx_memory_add(struct ptx_memory *m, uint64_t base, uint64_t size, void *host, bool constant);
void ptx_memory_remove(struct ptx_memory *m, uint64_t base);
void ptx_memory_clear_region(struct ptx_region *g); /* nothing of it is written or noted */
struct ptx_region *ptx_memory_find(struct ptx_memory *m, uint64_t address);

/* The host wrote, or looks at, these bytes; the latter gives the first that nobody wrote, or n. */
void ptx_memory_wrote(struct ptx_memory *m, const void *p, uint64_t n);
uint64_t ptx_memory_unwritten(struct ptx_memory *m, const void *p, uint64_t n);

void ptx_region_make(struct ptx_region *g, uint64_t base, uint64_t size, void *host, bool constant);
void ptx_region_release(struct ptx_region *g);

/* A new launch, block or segment of `threads` threads. */
enum ptx_meet { PTX_NEW_LAUNCH, PTX_NEW_BLOCK, PTX_NEW_SEGMENT };
void ptx_memory_next(struct ptx_memory *m, enum ptx_meet what, uint32_t threads);

/* NULL, or what is wrong with an access of n bytes at `offset` of g by `thread`; it is noted. */
const char *ptx_memory_access(struct ptx_memory *m, struct ptx_region *g, uint64_t offset,
	unsigned n, unsigned element, bool store, uint32_t thread);

#endif
