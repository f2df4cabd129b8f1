#include "pipelines/runner/datum_id.h"

#include <stdio.h>
#include <string.h>

static void add(struct vt_blake2b *hash, const char *text)
{
	uint64_t n = strlen(text);
	unsigned char length[8];
	for (int i = 0; i < 8; i++)
		length[i] = (unsigned char)(n >> (56 - 8 * i));
	vt_blake2b_update(hash, text, n);
	vt_blake2b_update(hash, length, sizeof length);
}

void vt_datum_id_begin(struct vt_datum_id *id)
{
	vt_blake2b_init(&id->hash);
}

void vt_datum_id_input(struct vt_datum_id *id, const char *name, const char *repo,
	const char *branch, const char *path)
{
	add(&id->hash, name);
	add(&id->hash, repo);
	add(&id->hash, branch);
	add(&id->hash, path);
}

void vt_datum_id_end(struct vt_datum_id *id, char hex[65])
{
	unsigned char digest[32];
	vt_blake2b_final(&id->hash, digest);
	for (int i = 0; i < 32; i++)
		snprintf(hex + 2 * i, 3, "%02x", digest[i]);
}
