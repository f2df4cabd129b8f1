/* lineage: a store with very many records, and how long its questions take.
 *
 *      lineage make STORE N    writes N records (no file contents), then `voxtrail rebuild --store
 *                              STORE` makes the index
 *      lineage ask STORE LIST  median and worst of 20 questions of each kind; LIST: lines "l ID"
 *                              (end of a chain),
 *                              "f ID" (its beginning), "d ID" (a derivation); bench/lineage.sh
 *                              makes it
 *
 * Of 100 executions 49 prepare a subject (5 raw files in, 5 out), 49 crop one (5 in, 5 out), one
 * trains on 500 files of 500 crops and the checkpoint before it in its chain, one evaluates.
 * There are 20 chains of fine-tunings. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/fs.h"
#include "common/base/rng.h"
#include "common/record/record.h"
#include "common/store/store.h"
#include "common/lineage/lineage_query.h"

enum { CHAINS = 20, INPUTS = 500, FILES = 5, QUESTIONS = 20 };

/* Of the processor: other processes do not count. */
static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void stop(const struct vt_err *err)
{
	if (err->code) {
		fprintf(stderr, "%s\n", err->text);
		exit(err->code);
	}
}

/* --- make ---------------------------------------------------------------- */

struct made {
	struct vt_digest file[FILES];
	struct vt_digest id;
	unsigned subject;
};

struct maker {
	const char *dir;
	uint64_t state;
	struct made *prep, *crop;
	size_t n_prep, n_crop;
	struct made chain[CHAINS];
	unsigned generation[CHAINS], subjects;
	struct vt_json *params;
};

static uint64_t random_number(struct maker *maker)
{
	maker->state ^= maker->state << 13;
	maker->state ^= maker->state >> 7;
	maker->state ^= maker->state << 17;
	return maker->state * 2685821657736338717ULL;
}

static struct vt_digest random_digest(struct maker *maker)
{
	struct vt_digest d;

	for (int i = 0; i < 4; i++) {
		uint64_t x = random_number(maker);

		memcpy(d.b + 8 * i, &x, 8);
	}
	return d;
}

static struct vt_tree *tree_of(const struct vt_tree_file *file, size_t n)
{
	struct vt_err err = VT_ERR_INIT;
	struct vt_tree *t = NULL;

	vt_tree_from_files(&t, file, n, &err);
	stop(&err);
	return t;
}

static void name_files(struct vt_tree_file *file, const struct made *made, const char *kind)
{
	for (int k = 0; k < FILES; k++)
		file[k] = (struct vt_tree_file){ vt_asprintf("sub-%06u/%s%d.nii", made->subject,
							 kind, k),
			made->file[k], 1000, false };
}

static void put(struct maker *maker, const char *stage, const struct vt_record_port *in,
	size_t n_in, struct made *out, const char *kind)
{
	struct vt_tree_file f[FILES];
	struct vt_record_port port = { "out", NULL, NULL };
	struct vt_record r = { .stage = stage,
		.version = "1",
		.commit = "0",
		.params = maker->params,
		.input = in,
		.n_inputs = n_in,
		.output = &port,
		.n_outputs = 1 };
	struct vt_buf text = VT_BUF_INIT;
	struct vt_err err = VT_ERR_INIT;
	struct vt_tree *t;
	char hex[VT_HEX], *path;
	FILE *to;

	for (int k = 0; k < FILES; k++)
		out->file[k] = random_digest(maker);
	name_files(f, out, kind);
	port.tree = t = tree_of(f, FILES);
	vt_record_write(&text, &out->id, &r, &err);
	stop(&err);
	vt_digest_hex(hex, &out->id);
	path = vt_asprintf("%s/records/%.2s/%s", maker->dir, hex, hex + 2);
	to = fopen(path, "wb");
	if (!to || fwrite(text.data, 1, text.len, to) != text.len || fclose(to))
		vt_err_errno(&err, VT_EIO, "%s", path);
	stop(&err);
	free(path);
	vt_buf_release(&text);
	vt_tree_free(t);
	for (int k = 0; k < FILES; k++)
		free(f[k].path);
}

static void prepare(struct maker *maker)
{
	struct made raw, *out = &maker->prep[maker->n_prep];
	struct vt_tree_file f[FILES];
	struct vt_strs none = VT_STRS_INIT;
	struct vt_record_port in = { "scans", NULL, &none };
	struct vt_tree *t;

	raw.subject = out->subject = ++maker->subjects;
	for (int k = 0; k < FILES; k++)
		raw.file[k] = random_digest(maker);
	name_files(f, &raw, "raw");
	in.tree = t = tree_of(f, FILES);
	put(maker, "skullstrip-normalize", &in, 1, out, "t");
	maker->n_prep++;
	vt_tree_free(t);
	for (int k = 0; k < FILES; k++)
		free(f[k].path);
}

static void parent(struct vt_strs *to, const struct vt_digest *digest)
{
	char hex[VT_HEX];

	vt_digest_hex(hex, digest);
	vt_strs_add(to, hex);
}

static void crop(struct maker *maker)
{
	const struct made *from = &maker->prep[random_number(maker) % maker->n_prep];
	struct made *out = &maker->crop[maker->n_crop];
	struct vt_strs parents = VT_STRS_INIT;
	struct vt_record_port in = { "normed", NULL, &parents };
	struct vt_tree_file f[FILES];
	struct vt_tree *t;

	out->subject = from->subject;
	parent(&parents, &from->id);
	name_files(f, from, "t");
	in.tree = t = tree_of(f, FILES);
	put(maker, "crop-patch", &in, 1, out, "c");
	maker->n_crop++;
	vt_tree_free(t);
	vt_strs_release(&parents);
	for (int k = 0; k < FILES; k++)
		free(f[k].path);
}

/* A file each of n crops among the newest 20,000, and maybe a checkpoint. */
static void learn(struct maker *maker, const char *stage, size_t n, unsigned chain, bool train)
{
	struct vt_tree_file *f = vt_xcalloc(n, sizeof(*f)), previous[FILES];
	struct vt_strs parents = VT_STRS_INIT, before = VT_STRS_INIT;
	struct vt_record_port in[2] = { { "patches", NULL, &parents },
		{ "previous", NULL, &before } };
	struct vt_tree *t, *p = NULL;
	struct made out = { .subject = 0 };
	size_t from = maker->n_crop > 20000 ? maker->n_crop - 20000 : 0;

	for (size_t i = 0; i < n; i++) {
		const struct made *c =
			&maker->crop[from + random_number(maker) % (maker->n_crop - from)];

		f[i] = (struct vt_tree_file){ vt_asprintf("sub-%06u/c%zu.nii", c->subject, i),
			c->file[random_number(maker) % FILES], 1000, false };
		parent(&parents, &c->id);
	}
	vt_strs_sort(&parents);
	in[0].tree = t = tree_of(f, n);
	if (maker->generation[chain]) {
		name_files(previous, &maker->chain[chain], "w");
		in[1].tree = p = tree_of(previous, FILES);
		parent(&before, &maker->chain[chain].id);
	}
	put(maker, stage, in, p ? 2 : 1, &out, "w");
	if (train) {
		maker->chain[chain] = out;
		maker->generation[chain]++;
	}
	for (size_t i = 0; i < n; i++)
		free(f[i].path);
	for (int k = 0; p && k < FILES; k++)
		free(previous[k].path);
	free(f);
	vt_tree_free(t);
	vt_tree_free(p);
	vt_strs_release(&parents);
	vt_strs_release(&before);
}

static void make(const char *dir, size_t n)
{
	struct vt_err err = VT_ERR_INIT;
	struct vt_store *s = NULL;
	struct maker m = { .dir = dir,
		.state = 88172645463325252ULL,
		.prep = vt_xcalloc(n + 1, sizeof(struct made)),
		.crop = vt_xcalloc(n + 1, sizeof(struct made)),
		.params = vt_json_new(VT_JSON_OBJECT) };
	double begun = seconds();
	unsigned trainings = 0;

	vt_json_put_text(m.params, "seed", "1");
	vt_store_open(&s, dir, VT_STORE_CREATE, &err);
	stop(&err);
	vt_store_close(s);
	for (int i = 0; i < 256; i++) {
		char *fan = vt_asprintf("%s/records/%02x", dir, i);

		vt_fs_mkdirs(fan, &err);
		stop(&err);
		free(fan);
	}
	for (size_t i = 0; i < n; i++) {
		if (i % 100 < 49 || !m.n_prep)
			prepare(&m);
		else if (i % 100 < 98)
			crop(&m);
		else if (i % 100 == 98)
			learn(&m, "train", INPUTS, trainings++ % CHAINS, true);
		else
			learn(&m, "evaluate", INPUTS / 10, trainings % CHAINS, false);
	}
	printf("%zu records, %zu subjects, %u trainings written in %.1f CPU-s\n", n,
		(size_t)m.subjects, trainings, seconds() - begun);
	vt_json_free(m.params);
	free(m.prep);
	free(m.crop);
}

/* --- ask ----------------------------------------------------------------- */

static int count(void *ctx, const struct vt_lineage_step *step)
{
	(void)step;
	*(size_t *)ctx += 1;
	return 0;
}

static int count_checkpoints(void *ctx, const struct vt_lineage_step *step)
{
	*(size_t *)ctx += !strcmp(step->stage, "train");
	return 0;
}

enum kind { ANCESTORS, SUBJECTS, WITHDRAWN, PROBE };

static size_t question(struct vt_store *store, enum kind kind, const char *what)
{
	struct vt_err err = VT_ERR_INIT;
	struct vt_strs names = VT_STRS_INIT;
	struct vt_lineage *t = NULL;
	size_t n = 0;
	char *id;

	if (kind == PROBE) {
		vt_store_find_derivation(store, what, false, &id, &err);
		stop(&err);
		n = id != NULL;
		free(id);
		return n;
	}
	if (kind == WITHDRAWN)
		vt_lineage_open_subject(&t, store, what, &err);
	else
		vt_lineage_open(&t, store, what, VT_LINEAGE_MADE, &err);
	stop(&err);
	if (kind == ANCESTORS)
		vt_lineage_ancestors(t, count, &n, &err);
	else if (kind == WITHDRAWN)
		vt_lineage_descendants(t, count_checkpoints, &n, &err);
	else
		vt_lineage_subjects(t, &names, &err);
	stop(&err);
	n += names.n;
	vt_strs_release(&names);
	vt_lineage_close(t);
	return n;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static void ask(struct vt_store *store, enum kind kind, const char *name,
	const struct vt_strs *what)
{
	double took[QUESTIONS];
	size_t most = 0, n = what->n < QUESTIONS ? what->n : QUESTIONS;

	for (size_t i = 0; i < n; i++) {
		double begun = seconds();
		size_t found = question(store, kind, what->v[i]);

		took[i] = seconds() - begun;
		most = found > most ? found : most;
	}
	qsort(took, n, sizeof(*took), by_value);
	printf("%-58s median %8.3f ms, worst %8.3f ms of CPU, %zu found at most\n", name,
		1e3 * took[n / 2], 1e3 * took[n - 1], most);
}

/* Depth of each training is its place in its chain: the deepest have the most ancestors, the
 * shallowest few. */
static void choose(struct vt_strs *last, struct vt_strs *first, struct vt_strs *derivations,
	const char *list)
{
	struct vt_err err = VT_ERR_INIT;
	struct vt_buf text = VT_BUF_INIT;

	vt_fs_read(&text, list, 1u << 30, &err);
	stop(&err);
	for (char *p = text.data; p && *p; p = strchr(p, '\n') + 1) {
		struct vt_strs *to = p[0] == 'l' ? last : p[0] == 'f' ? first : derivations;
		char *id = vt_xstrndup(p + 2, 64);

		vt_strs_add(to, id);
		free(id);
	}
	vt_buf_release(&text);
}

int main(int argc, char **argv)
{
	struct vt_err err = VT_ERR_INIT;
	struct vt_strs last = VT_STRS_INIT, first = VT_STRS_INIT, derivations = VT_STRS_INIT,
		       subjects = VT_STRS_INIT;
	struct vt_store *s = NULL;

	if (argc == 4 && !strcmp(argv[1], "make")) {
		make(argv[2], strtoull(argv[3], NULL, 10));
		return 0;
	}
	if (argc != 4 || strcmp(argv[1], "ask")) {
		fprintf(stderr, "usage: lineage make STORE N | lineage ask STORE LIST\n");
		return VT_EUSAGE;
	}
	vt_store_open(&s, argv[2], VT_STORE_READ, &err);
	stop(&err);
	choose(&last, &first, &derivations, argv[3]);
	for (unsigned i = 1; i <= QUESTIONS; i++) {
		char *name = vt_asprintf("sub-%06u", i);

		vt_strs_add(&subjects, name);
		free(name);
	}
	ask(s, ANCESTORS, "ancestors of the checkpoints that end a chain", &last);
	ask(s, ANCESTORS, "ancestors of the checkpoints that begin one", &first);
	ask(s, SUBJECTS, "subjects in the checkpoints that end a chain", &last);
	ask(s, WITHDRAWN, "a subject withdrew: everything made of it", &subjects);
	ask(s, PROBE, "is there a result of this derivation? (cache probe)", &derivations);
	vt_store_close(s);
	return 0;
}
