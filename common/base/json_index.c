/* json_index.c - keys of an object by hash, so that a text of n bytes is read in time linear in n
 * whoever wrote it.
 *
 * A small object is searched.  A larger one has a table of positions (open addressing, linear
 * probing, at most half full), which lives with it and grows by doubling.  The hash is SipHash-1-3
 * under a key drawn once a process: nobody can choose keys that meet.  The table decides how long a
 * search takes and nothing else; no output depends on it. */
#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "common/base/json_internal.h"

enum { SMALL = 16 };

static uint64_t rotate(uint64_t x, int by)
{
	return x << by | x >> (64 - by);
}

static void mix(uint64_t v[4])
{
	v[0] += v[1], v[1] = rotate(v[1], 13) ^ v[0], v[0] = rotate(v[0], 32);
	v[2] += v[3], v[3] = rotate(v[3], 16) ^ v[2];
	v[0] += v[3], v[3] = rotate(v[3], 21) ^ v[0];
	v[2] += v[1], v[1] = rotate(v[1], 17) ^ v[2], v[2] = rotate(v[2], 32);
}

/* The first caller's draw is everybody's. */
static uint64_t secret(void)
{
	static _Atomic uint64_t drawn;
	uint64_t none = 0, mine = 0;

	if (atomic_load(&drawn))
		return atomic_load(&drawn);
	if (getrandom(&mine, sizeof(mine), 0) != sizeof(mine))
		mine = (uint64_t)(uintptr_t)&mine;
	mine |= 1;
	return atomic_compare_exchange_strong(&drawn, &none, mine) ? mine : none;
}

static uint64_t hash(const char *key)
{
	uint64_t k = secret(), n = strlen(key), last = n << 56;
	uint64_t v[4] = { k ^ 0x736f6d6570736575u, rotate(k, 32) ^ 0x646f72616e646f6du,
		k ^ 0x6c7967656e657261u, rotate(k, 32) ^ 0x7465646279746573u };

	for (; n >= 8; n -= 8, key += 8) {
		uint64_t m;

		memcpy(&m, key, 8);
		v[3] ^= m;
		mix(v);
		v[0] ^= m;
	}
	for (size_t i = 0; i < n; i++)
		last |= (uint64_t)(unsigned char)key[i] << (8 * i);
	v[3] ^= last;
	mix(v);
	v[0] ^= last;
	v[2] ^= 0xff;
	mix(v);
	mix(v);
	mix(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* The slot of the key, or the empty one where it belongs.  A slot holds a position + 1. */
static size_t slot_of(const struct vt_json *object, const char *key)
{
	size_t at = hash(key) & (object->n_slots - 1);

	while (object->slot[at] && strcmp(object->key[object->slot[at] - 1], key))
		at = (at + 1) & (object->n_slots - 1);
	return at;
}

size_t vt_json_find(const struct vt_json *object, const char *key)
{
	size_t i = 0;

	if (object->n_slots) {
		i = object->slot[slot_of(object, key)];
		return i ? i - 1 : object->n;
	}
	while (i < object->n && strcmp(object->key[i], key))
		i++;
	return i;
}

void vt_json_index_last(struct vt_json *object)
{
	if (object->n <= SMALL)
		return;
	assert(object->n < UINT32_MAX);
	if (2 * object->n <= object->n_slots) {
		object->slot[slot_of(object, object->key[object->n - 1])] = (uint32_t)object->n;
		return;
	}
	free(object->slot);
	object->n_slots = object->n_slots ? 2 * object->n_slots : 4 * SMALL;
	object->slot = vt_xcalloc(object->n_slots, sizeof(*object->slot));
	for (size_t i = 0; i < object->n; i++)
		object->slot[slot_of(object, object->key[i])] = (uint32_t)i + 1;
}
