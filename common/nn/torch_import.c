/* What torch.save writes: since PyTorch 1.6 a zip archive of stored entries, NAME/data.pkl and
 * NAME/data/KEY; before that a row of pickles (a magic number, a version, facts of the machine,
 * the object, the storages' keys) and then each storage's bytes. */
#include <stdlib.h>
#include <string.h>

#include "common/nn/pickle.h"
#include "common/nn/state_file.h"

struct entry {
	const char *name;
	size_t name_len;
	/* into the mapping of the file */
	const unsigned char *data; /* NULL: compressed or encrypted, as PyTorch's never are */
	size_t size;
	uint32_t crc;
	bool sound; /* the checksum was found right */
};

struct torch_file {
	struct vt_state_file *s;
	const char *path;
	/* zip: its files; older: a storage each, named by its key; by name once all are there */
	struct entry *entry;
	size_t n;
	char *folder; /* "NAME/" of a zip archive; NULL: older */
	struct vt_pickle pickle;
	struct vt_err *err;
};

static int bad(const struct torch_file *file, const char *what)
{
	return vt_err_set(file->err, VT_EDATA, "%s: %s", file->path, what);
}

static uint64_t little(const unsigned char *p, int n)
{
	uint64_t v = 0;

	for (int i = n - 1; i >= 0; i--)
		v = v << 8 | p[i];
	return v;
}

/* --- zip ----------------------------------------------------------------- */

/* bytes of each record without its names and comments */
enum { END = 22, LOCATOR = 20, END64 = 56, CENTRAL = 46, LOCAL = 30 };

/* CRC-32 by halves of bytes: table[i] is i shifted out through the polynomial 0xedb88320 four
 * times. */
static uint32_t crc32_of(const unsigned char *p, size_t n)
{
	static const uint32_t table[16] = { 0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac,
		0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8,
		0xcb61b38c, 0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c };
	uint32_t c = 0xffffffff;

	for (size_t i = 0; i < n; i++) {
		/* low half, then high half of the byte */
		c ^= p[i];
		c = table[c & 15] ^ c >> 4;
		c = table[c & 15] ^ c >> 4;
	}
	return ~c;
}

/* The end record, behind which only a comment may stand. */
static const unsigned char *find_end(const struct vt_map *map)
{
	/* A comment is 65535 bytes at most. */
	for (size_t back = END; back <= map->size && back <= END + 65535; back++) {
		const unsigned char *p = map->data + map->size - back;

		/* The comment's length must lead to the end of the file: "PK\5\6" may occur in a
		 * comment. */
		if (!memcmp(p, "PK\5\6", 4) && little(p + 20, 2) == back - END)
			return p;
	}
	return NULL;
}

/* Count, size and offset of the central directory, from the 64-bit record where there is one. */
static int directory(const struct torch_file *file, const unsigned char *end, uint64_t *n,
	uint64_t *size, uint64_t *offset)
{
	const struct vt_map *m = &file->s->map;
	uint64_t at;

	*n = little(end + 10, 2);
	*size = little(end + 12, 4);
	*offset = little(end + 16, 4);
	if (end - m->data >= LOCATOR && !memcmp(end - LOCATOR, "PK\6\7", 4)) {
		at = little(end - LOCATOR + 8, 8);
		if (m->size < END64 || at > m->size - END64 || memcmp(m->data + at, "PK\6\6", 4))
			return bad(file, "the zip directory is damaged");
		*n = little(m->data + at + 32, 8);
		*size = little(m->data + at + 40, 8);
		*offset = little(m->data + at + 48, 8);
	}
	/* Every entry takes CENTRAL bytes at least: n is bounded by the file's size. */
	if (*offset > m->size || *size > m->size - *offset || *n > *size / CENTRAL)
		return bad(file,
			"the zip directory does not fit the file; it is cut off or damaged");
	return 0;
}

/* Values that a 32-bit field could not hold stand in extra field 1, in this order. */
static void wide_fields(const unsigned char *extra, size_t n, uint64_t *size, uint64_t *stored,
	uint64_t *offset)
{
	uint64_t *const field[] = { size, stored, offset };

	while (n >= 4) {
		size_t len = (size_t)little(extra + 2, 2), at = 4;

		if (len > n - 4)
			return;
		for (int i = 0; little(extra, 2) == 1 && i < 3; i++)
			if (*field[i] == 0xffffffff && at + 8 <= 4 + len) {
				*field[i] = little(extra + at, 8);
				at += 8;
			}
		extra += 4 + len;
		n -= 4 + len;
	}
}

/* One entry of the directory at p with `room` bytes; its length, or 0. */
static size_t read_entry(struct torch_file *file, const unsigned char *p, size_t room,
	struct entry *entry)
{
	const struct vt_map *m = &file->s->map;
	size_t name, extra, len, local;
	uint64_t size, stored, offset;

	if (room < CENTRAL || memcmp(p, "PK\1\2", 4))
		return 0;
	name = (size_t)little(p + 28, 2);
	extra = (size_t)little(p + 30, 2);
	len = CENTRAL + name + extra + (size_t)little(p + 32, 2);
	if (len > room)
		return 0;
	/* Compressed or encrypted: refused only if a tensor needs it. */
	if (little(p + 10, 2) != 0 || little(p + 8, 2) & 1) {
		*entry = (struct entry){ .name = (const char *)p + CENTRAL, .name_len = name };
		return len;
	}
	stored = little(p + 20, 4);
	size = little(p + 24, 4);
	offset = little(p + 42, 4);
	wide_fields(p + CENTRAL + name, extra, &size, &stored, &offset);
	if (size != stored || m->size < LOCAL || offset > m->size - LOCAL ||
		memcmp(m->data + offset, "PK\3\4", 4))
		return 0;
	/* The local header has lengths of its own, which may differ from the directory's. */
	local = LOCAL + (size_t)little(m->data + offset + 26, 2) +
		(size_t)little(m->data + offset + 28, 2);
	if (local > m->size - offset || size > m->size - offset - local)
		return 0;
	*entry = (struct entry){ .name = (const char *)p + CENTRAL,
		.name_len = name,
		.data = m->data + offset + local,
		.size = (size_t)size,
		.crc = (uint32_t)little(p + 16, 4) };
	return len;
}

static int read_directory(struct torch_file *file)
{
	const unsigned char *end = find_end(&file->s->map);
	uint64_t n, size, offset;

	if (!end)
		return bad(file, "begins as a zip archive and has no end; it is cut off");
	if (directory(file, end, &n, &size, &offset))
		return file->err->code;
	file->entry = vt_xcalloc((size_t)n + 1, sizeof(*file->entry));
	for (size_t at = 0; file->n < n; file->n++) {
		size_t len = read_entry(file, file->s->map.data + offset + at, (size_t)size - at,
			&file->entry[file->n]);

		if (!len)
			return bad(file, "an entry of the zip directory is damaged");
		at += len;
	}
	return 0;
}

static int by_name(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;
	int c = memcmp(x->name, y->name, x->name_len < y->name_len ? x->name_len : y->name_len);

	return c ? c : (x->name_len > y->name_len) - (x->name_len < y->name_len);
}

/* The entry of this name; NULL if there is none.  Names are not ended by a NUL. */
static struct entry *find_name(const struct torch_file *file, const char *name)
{
	struct entry wanted = { .name = name, .name_len = strlen(name) };

	return file->n ? bsearch(&wanted, file->entry, file->n, sizeof(*file->entry), by_name)
		       : NULL;
}

/* The entry FOLDER/what of a zip archive. */
static struct entry *find_entry(const struct torch_file *file, const char *what)
{
	char *name = vt_asprintf("%s%s", file->folder, what);
	struct entry *e = find_name(file, name);

	free(name);
	return e;
}

static int open_zip(struct torch_file *file)
{
	const struct entry *e;
	const char *slash;

	file->s->format = "PyTorch zip";
	if (read_directory(file))
		return file->err->code;
	/* All entries lie in one folder, whatever its name. */
	slash = file->n ? memchr(file->entry[0].name, '/', file->entry[0].name_len) : NULL;
	file->folder = slash
		? vt_xstrndup(file->entry[0].name, (size_t)(slash - file->entry[0].name) + 1)
		: vt_xstrdup("");
	if (file->n)
		qsort(file->entry, file->n, sizeof(*file->entry), by_name);
	if (find_entry(file, "constants.pkl"))
		return bad(file,
			"is a TorchScript program; save its weights with "
			"torch.save(module.state_dict(), path)");
	e = find_entry(file, "byteorder");
	if (e && (!e->data || e->size != 6 || memcmp(e->data, "little", 6)))
		return bad(file, "was saved on a big-endian machine");
	e = find_entry(file, "data.pkl");
	if (!e)
		return bad(file, "is a zip archive without data.pkl, so not PyTorch's");
	if (!e->data)
		return bad(file,
			"data.pkl is compressed or encrypted; torch.save stores it as it is");
	if (crc32_of(e->data, e->size) != e->crc)
		return bad(file, "data.pkl does not have its checksum; the file is damaged");
	return vt_pickle_read(&file->pickle, e->data, e->size, file->path, file->err);
}

/* --- before PyTorch 1.6 -------------------------------------------------- */

static const unsigned char old_start[] = { 0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20,
	0x6a, 0xa8, 0x50, 0x19 };

static const char *dtype_of(const struct vt_pickle_value *storage)
{
	static const char *const names[][2] = { { "Float", "F32" }, { "Half", "F16" },
		{ "BFloat16", "BF16" }, { "Double", "F64" }, { "Long", "I64" }, { "Int", "I32" },
		{ "Short", "I16" }, { "Char", "I8" }, { "Byte", "U8" }, { "Bool", "BOOL" } };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strcmp(names[i][0], storage->text))
			return names[i][1];
	return "";
}

/* A storage that some tensor uses, by its key. */
struct width {
	const char *key;
	size_t order, bytes;
};

static int by_key(const void *a, const void *b)
{
	const struct width *x = a, *y = b;
	int c = strcmp(x->key, y->key);

	return c ? c : (x->order > y->order) - (x->order < y->order);
}

static int key_is(const void *key, const void *w)
{
	return strcmp(key, ((const struct width *)w)->key);
}

/* Element widths of the storages that tensors use; caller frees. */
static struct width *widths_of(const struct vt_pickle *pickle, size_t *n)
{
	struct width *w = vt_xcalloc(pickle->n + 1, sizeof(*w));

	*n = 0;
	for (size_t i = 0; i < pickle->n; i++)
		if (pickle->value[i]->kind == VT_PICKLE_STORAGE) {
			w[*n] = (struct width){ pickle->value[i]->item[0]->text, i,
				vt_state_width(dtype_of(pickle->value[i])) };
			++*n;
		}
	qsort(w, *n, sizeof(*w), by_key);
	return w;
}

/* 0 if no tensor uses the storage. */
static size_t width_of_key(const struct width *width, size_t n, const struct vt_pickle_value *key)
{
	const struct width *found = n && key->kind == VT_PICKLE_TEXT
		? bsearch(key->text, width, n, sizeof(*width), key_is)
		: NULL;

	return found ? found->bytes : 0;
}

/* The storages follow in the order of their keys: the number of elements in eight bytes, then
 * the elements. */
static int read_storages(struct torch_file *file, const struct vt_pickle_value *keys, size_t at)
{
	const struct vt_map *m = &file->s->map;
	size_t n_widths;
	struct width *w;
	int rc = 0;

	if (keys->kind != VT_PICKLE_LIST)
		return bad(file, "the list of storages is missing");
	w = widths_of(&file->pickle, &n_widths);
	file->entry = vt_xcalloc(keys->n + 1, sizeof(*file->entry));
	for (; !rc && file->n < keys->n; file->n++) {
		const struct vt_pickle_value *key = keys->item[file->n];
		size_t width = width_of_key(w, n_widths, key);
		uint64_t n = m->size - at >= 8 ? little(m->data + at, 8) : 0;

		/* Without a width the storage's length is not known, nor where the next one
		 * begins. */
		if (!width || m->size - at < 8 || n > (m->size - at - 8) / width) {
			rc = bad(file, "a storage does not fit the file; it is cut off or damaged");
			break;
		}
		file->entry[file->n] = (struct entry){ .name = key->text,
			.name_len = strlen(key->text),
			.data = m->data + at + 8,
			.size = (size_t)n * width };
		at += 8 + (size_t)n * width;
	}
	free(w);
	return rc;
}

static int open_old(struct torch_file *file)
{
	const struct vt_map *m = &file->s->map;
	struct vt_pickle skipped;
	size_t at = 0;
	int rc = 0;

	file->s->format = "PyTorch before 1.6";
	/* magic number, protocol, facts of the machine */
	for (int i = 0; !rc && i < 3; i++) {
		rc = vt_pickle_read(&skipped, m->data + at, m->size - at, file->path, file->err);
		if (rc)
			break;
		at += skipped.used;
		if (vt_pickle_get(skipped.top, "little_endian") &&
			!vt_pickle_get(skipped.top, "little_endian")->integer)
			rc = bad(file, "was saved on a big-endian machine");
		vt_pickle_release(&skipped);
	}
	if (!rc)
		rc = vt_pickle_read(&file->pickle, m->data + at, m->size - at, file->path,
			file->err);
	at += file->pickle.used;
	if (!rc)
		rc = vt_pickle_read(&skipped, m->data + at, m->size - at, file->path, file->err);
	if (rc)
		return rc;
	rc = read_storages(file, skipped.top, at + skipped.used);
	/* the entries' names lie in `skipped`; they are kept with the object's values */
	for (size_t i = 0; i < file->n; i++)
		file->entry[i].name = vt_xstrdup(file->entry[i].name);
	if (file->n)
		qsort(file->entry, file->n, sizeof(*file->entry), by_name);
	vt_pickle_release(&skipped);
	return rc;
}

/* --- tensors ------------------------------------------------------------- */

/* The storage's bytes; NULL if they are missing, too few or damaged. */
static struct entry *storage_of(struct torch_file *file, const struct vt_pickle_value *storage)
{
	struct entry *e;
	char *name;

	if (file->folder) {
		name = vt_asprintf("data/%s", storage->item[0]->text);
		e = find_entry(file, name);
		free(name);
	} else {
		e = find_name(file, storage->item[0]->text);
	}
	if (!e || !e->data ||
		(uint64_t)storage->integer > e->size / vt_state_width(dtype_of(storage)))
		return NULL;
	return e;
}

static int add_tensor(struct torch_file *file, const char *name,
	const struct vt_pickle_value *value)
{
	const struct vt_pickle_value *storage = value->item[0];
	uint64_t offset = (uint64_t)value->item[1]->integer, elements;
	struct entry *e = storage_of(file, storage);
	struct vt_state_tensor t = { .n_dims = (int)value->item[2]->n };
	size_t width = vt_state_width(dtype_of(storage));

	if (!e)
		return vt_err_set(file->err, VT_EDATA,
			"%s: the values of tensor %s are missing or cut off", file->path, name);
	/* A storage of many tensors is checked once. */
	if (file->folder && !e->sound && crc32_of(e->data, e->size) != e->crc)
		return vt_err_set(file->err, VT_EDATA,
			"%s: the values of tensor %s do not have their checksum; the file "
			"is damaged",
			file->path, name);
	e->sound = true;
	if (value->item[2]->n > VT_STATE_DIMS)
		return vt_err_set(file->err, VT_EDATA, "%s: tensor %s has %zu dimensions",
			file->path, name, value->item[2]->n);
	/* The storage's bytes bound what the tensor's strides may reach. */
	elements = e->size / width;
	if (offset > elements)
		return vt_err_set(file->err, VT_EDATA, "%s: tensor %s lies outside its storage",
			file->path, name);
	memcpy(t.dtype, dtype_of(storage), strlen(dtype_of(storage)) + 1);
	for (int i = 0; i < t.n_dims; i++) {
		t.dims[i] = value->item[2]->item[i]->integer;
		t.stride[i] = value->item[3]->item[i]->integer;
	}
	t.data = e->data + offset * width;
	return vt_state_add(file->s, name, t, (size_t)(elements - offset), file->err)
		? vt_err_prefix(file->err, "%s", file->path)
		: 0;
}

static bool holds_tensors(const struct vt_pickle_value *value)
{
	for (size_t i = 1; value && value->kind == VT_PICKLE_DICT && i < value->n; i += 2)
		if (value->item[i]->kind == VT_PICKLE_TENSOR)
			return true;
	return false;
}

/* The state dict itself, or the one that a training program put under one of the usual names. */
static const struct vt_pickle_value *state_dict(const struct vt_pickle_value *top)
{
	static const char *const usual[] = { "state_dict", "model_state_dict", "network_weights",
		"model", "net" };

	if (holds_tensors(top))
		return top;
	for (size_t i = 0; i < sizeof(usual) / sizeof(usual[0]); i++)
		if (holds_tensors(vt_pickle_get(top, usual[i])))
			return vt_pickle_get(top, usual[i]);
	return NULL;
}

static int add_tensors(struct torch_file *file)
{
	const struct vt_pickle_value *d = state_dict(file->pickle.top);
	int rc = 0;

	if (!d)
		return bad(file,
			"holds no state dict: neither its value nor what stands there under "
			"state_dict, model_state_dict, network_weights, model or net has tensors "
			"by name");
	for (size_t i = 0; !rc && i + 1 < d->n; i += 2)
		if (d->item[i + 1]->kind == VT_PICKLE_TENSOR)
			rc = d->item[i]->kind == VT_PICKLE_TEXT
				? add_tensor(file, d->item[i]->text, d->item[i + 1])
				: bad(file, "a tensor's name is no text");
	return rc;
}

int vt_torch_read(struct vt_state_file *file, const char *path, bool *ours, struct vt_err *err)
{
	struct torch_file f = { .s = file, .path = path, .err = err };
	bool zip = file->map.size >= 4 && !memcmp(file->map.data, "PK\3\4", 4);
	bool old = file->map.size >= sizeof(old_start) &&
		!memcmp(file->map.data, old_start, sizeof(old_start));
	int rc;

	*ours = zip || old;
	if (!*ours)
		return 0;
	rc = zip ? open_zip(&f) : open_old(&f);
	if (!rc)
		rc = add_tensors(&f);
	for (size_t i = 0; old && i < f.n; i++)
		free((char *)(uintptr_t)f.entry[i].name);
	free(f.entry);
	free(f.folder);
	vt_pickle_release(&f.pickle);
	return rc;
}
