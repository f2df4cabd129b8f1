#include "common/seg/dataset.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/rng.h"
#include "common/seg/contract.h"

/* Whether the values at a pointer have one canonical form, or are both absent. */
static bool same_at(const struct vt_json *json, const struct vt_json *b, const char *pointer)
{
	struct vt_buf text[2] = { VT_BUF_INIT, VT_BUF_INIT };
	const struct vt_json *v[2] = { vt_json_pointer(json, pointer),
		vt_json_pointer(b, pointer) };
	bool same = !v[0] == !v[1];

	for (int i = 0; i < 2 && v[i]; i++)
		vt_json_pretty(&text[i], v[i]);
	same = same && text[0].len == text[1].len &&
		!memcmp(text[0].data ? text[0].data : "", text[1].data ? text[1].data : "",
			text[0].len);
	vt_buf_release(&text[0]);
	vt_buf_release(&text[1]);
	return same;
}

/* What a training could not even address. */
static int check_names(const struct vt_dataset *dataset, struct vt_err *err)
{
	static const char *const what[][2] = { { "/channels", "channels" },
		{ "/regions", "regions" } };

	for (size_t i = 1; i < dataset->n; i++)
		for (int k = 0; k < 2; k++)
			if (!same_at(dataset->file[0].header, dataset->file[i].header, what[k][0]))
				return vt_err_set(err, VT_EDATA,
					"subjects %s and %s have different %s; prepare and "
					"crop them in one way",
					dataset->file[0].subject, dataset->file[i].subject,
					what[k][1]);
	return 0;
}

/* Class numbers say where in an array a loss looks. */
static int check_classes(const struct vt_patch_file *file, const char *path, struct vt_err *err)
{
	size_t n = (size_t)file->d * (size_t)file->h * (size_t)file->w;

	for (size_t v = 0; file->exclusive && file->labeled && v < n; v++)
		if (file->regions[v] > file->n_regions)
			return vt_err_set(err, VT_EDATA, "%s: class %d of voxel %zu; there are %d",
				path, file->regions[v], v, file->n_regions);
	return 0;
}

static int check_meaning(const struct vt_dataset *dataset, const char *allow, struct vt_err *err)
{
	struct vt_json *first = vt_contract_of_container(dataset->file[0].header);
	int rc = 0;

	for (size_t i = 1; !rc && i < dataset->n; i++) {
		struct vt_json *other = vt_contract_of_container(dataset->file[i].header);

		rc = vt_contract_same(first, dataset->file[0].subject, other,
			dataset->file[i].subject, allow, err);
		vt_json_free(other);
	}
	vt_json_free(first);
	return rc;
}

bool vt_dataset_ignores(const struct vt_dataset *dataset)
{
	for (size_t i = 0; i < dataset->n; i++)
		if (vt_json_integer(vt_json_pointer(dataset->file[i].header,
					    "/manifest/label/ignore"),
			    0))
			return true;
	return false;
}

int vt_dataset_open(struct vt_dataset *out, const char *root, const char *allow, struct vt_err *err)
{
	struct vt_strs names = VT_STRS_INIT;
	struct vt_dataset d = { NULL, 0 };
	int rc = vt_fs_list(&names, root, err);

	d.file = vt_xcalloc(names.n + 1, sizeof(*d.file));
	for (size_t i = 0; !rc && i < names.n; i++) {
		char *path = vt_asprintf("%s/%s/subject.vtp", root, names.v[i]);

		if (vt_fs_exists(path)) {
			rc = vt_patch_open(&d.file[d.n], path, err);
			d.n += !rc;
			if (!rc)
				rc = check_classes(&d.file[d.n - 1], path, err);
		}
		free(path);
	}
	if (!rc && !d.n)
		rc = vt_err_set(err, VT_ENOINPUT,
			"%s: no <subject>/subject.vtp in it; give the output of crop-patch", root);
	if (!rc)
		rc = check_names(&d, err);
	if (!rc && allow)
		rc = check_meaning(&d, allow, err);
	vt_strs_release(&names);
	if (rc)
		vt_dataset_close(&d);
	else
		*out = d;
	return rc;
}

void vt_dataset_close(struct vt_dataset *dataset)
{
	for (size_t i = 0; i < dataset->n; i++)
		vt_patch_close(&dataset->file[i]);
	free(dataset->file);
	*dataset = (struct vt_dataset){ NULL, 0 };
}

int vt_cohorts_open(struct vt_cohorts *out, const char *const *roots, const char *allow,
	struct vt_err *err)
{
	int rc = 0;

	*out = (struct vt_cohorts){ .n = 0 };
	for (int k = 0; !rc && k < VT_MOST_COHORTS; k++) {
		if (!roots[k])
			continue;
		rc = vt_dataset_open(&out->d[out->n], roots[k], allow, err);
		if (rc)
			break;
		if (out->n)
			out->more[out->n - 1] = &out->d[out->n];
		out->n++;
	}
	return rc;
}

void vt_cohorts_close(struct vt_cohorts *c)
{
	for (int k = 0; k < c->n; k++)
		vt_dataset_close(&c->d[k]);
}

/* A voxel of the foreground. By region: one of those that the subject has, then one of its
 * voxels. */
static uint32_t foreground_voxel(const struct vt_patch_file *file, bool by_region,
	struct vt_rng *rng)
{
	size_t count[256] = { 0 }, at = 0;
	int region = 0, present = 0, chosen;

	assert(file->n_foreground > 0);
	if (!by_region)
		return file->foreground[vt_rng_below(rng, (uint32_t)file->n_foreground)];
	for (size_t i = 0; i < file->n_foreground; i++)
		for (int k = 0; k < file->n_regions; k++)
			count[k] += vt_patch_holds(file, file->foreground[i], k);
	for (int k = 0; k < file->n_regions; k++)
		present += count[k] > 0;
	if (!present)
		return file->foreground[vt_rng_below(rng, (uint32_t)file->n_foreground)];
	chosen = (int)vt_rng_below(rng, (uint32_t)present);
	while (!count[region] || chosen--)
		region++;
	at = vt_rng_below(rng, (uint32_t)count[region]);
	for (size_t i = 0;; i++)
		if (vt_patch_holds(file, file->foreground[i], region) && !at--)
			return file->foreground[i];
}

struct vt_draw_opts vt_draw_place(const struct vt_draw_opts *opts)
{
	struct vt_draw_opts place = *opts;

	place.flips = false;
	place.scale = place.shift = place.noise = place.drop = 0;
	return place;
}

int vt_dataset_center(int dim, int edge, double sd, struct vt_rng *rng)
{
	int low = edge / 2 + 1, high = dim - edge / 2;

	if (high <= low)
		return (dim - edge) / 2;
	for (int tries = 0; tries < 1000; tries++) {
		double c = floor(dim / 2.0 + sd * dim * vt_rng_normal(rng) + 0.5);

		if (c >= low && c <= high)
			return (int)c - edge / 2;
	}
	return (dim - edge) / 2;
}

/* First voxel of the patch on each axis; negative where the volume is smaller and the patch
 * hangs over on both sides. */
static void corner(int at[3], const struct vt_patch_file *file, const struct vt_draw_opts *opts,
	struct vt_rng *rng)
{
	int dim[3] = { file->d, file->h, file->w }, center[3] = { -1, -1, -1 };

	for (int a = 0; opts->center_sd > 0 && a < 3; a++)
		at[a] = vt_dataset_center(dim[a], opts->patch[a], opts->center_sd, rng);
	if (opts->center_sd > 0)
		return;
	if (file->n_foreground && vt_rng_uniform(rng) < opts->foreground) {
		uint32_t v = foreground_voxel(file, opts->by_region, rng);

		center[0] = (int)(v / (uint32_t)(file->h * file->w));
		center[1] = (int)(v / (uint32_t)file->w % (uint32_t)file->h);
		center[2] = (int)(v % (uint32_t)file->w);
	}
	for (int a = 0; a < 3; a++) {
		int room = dim[a] - opts->patch[a];
		/* a foreground center is jittered by a quarter of the patch, so that tumors are
		 * not always in the middle */
		int jitter = opts->patch[a] / 4
			? (int)vt_rng_below(rng, (uint32_t)(2 * (opts->patch[a] / 4) + 1)) -
				opts->patch[a] / 4
			: 0;
		int any = (int)vt_rng_below(rng, (uint32_t)(room > 0 ? room + 1 : 1));

		if (room <= 0)
			at[a] = -((opts->patch[a] - dim[a]) / 2);
		else if (center[a] < 0)
			at[a] = any;
		else
			at[a] = center[a] - opts->patch[a] / 2 + jitter;
		if (room > 0 && at[a] > room)
			at[a] = room;
		if (room > 0 && at[a] < 0)
			at[a] = 0;
	}
}

static void flip_row(float *row, int n)
{
	for (int i = 0; i < n / 2; i++) {
		float t = row[i];

		row[i] = row[n - 1 - i];
		row[n - 1 - i] = t;
	}
}

/* One row of the patch: source row (z, y) from x on, zero where it lies outside. */
static void copy_row(float *out, const struct vt_patch_file *file, int c, int z, int y, int x,
	int n)
{
	int from = x < 0 ? -x : 0, to = x + n > file->w ? file->w - x : n;

	memset(out, 0, (size_t)n * sizeof(float));
	if (z >= 0 && z < file->d && y >= 0 && y < file->h && from < to)
		vt_patch_row(out + from, file, c, z, y, x + from, to - from);
}

static void copy_target(uint8_t *out, const struct vt_patch_file *file, int z, int y, int x, int n,
	bool flip)
{
	for (int i = 0; i < n; i++) {
		int s = x + (flip ? n - 1 - i : i);
		bool inside = file->regions && z >= 0 && z < file->d && y >= 0 && y < file->h &&
			s >= 0 && s < file->w;

		out[i] = inside ? file->regions[((size_t)z * (size_t)file->h + (size_t)y) *
						  (size_t)file->w +
					  (size_t)s]
				: 0;
	}
}

void vt_dataset_choose(struct vt_patch_ref *out, const struct vt_patch_file *file,
	const struct vt_draw_opts *opts, uint64_t step, uint64_t slot)
{
	struct vt_rng r = vt_rng_stream(opts->seed, "draw", vt_rng_hash(file->subject), step, slot);

	*out = (struct vt_patch_ref){ .dropped = -1,
		.noise = opts->noise,
		.seed = opts->seed,
		.stream = vt_rng_name("patch noise", vt_rng_hash(file->subject), step, slot) };
	corner(out->at, file, opts, &r);
	for (int a = 0; a < 3; a++)
		out->flip[a] = vt_rng_uniform(&r) < 0.5 && opts->flips;
	for (int c = 0; c < file->c && c < VT_PATCH_CHANNELS; c++) {
		out->gain[c] = (float)(1.0 + vt_rng_between(&r, -opts->scale, opts->scale));
		out->add[c] = (float)vt_rng_between(&r, -opts->shift, opts->shift);
	}
	if (opts->drop > 0 && vt_rng_uniform(&r) < opts->drop)
		out->dropped = (int)vt_rng_below(&r, (uint32_t)file->c);
}

/* Row (z, y) of channel c of the patch; it begins at element `from`. */
static void draw_row(float *row, const struct vt_patch_file *file, const struct vt_patch_ref *ref,
	const int patch[3], int c, int z, int y, size_t from)
{
	struct vt_rng r = vt_rng_named(ref->seed, ref->stream);
	int w = patch[2];

	copy_row(row, file, c, ref->at[0] + (ref->flip[0] ? patch[0] - 1 - z : z),
		ref->at[1] + (ref->flip[1] ? patch[1] - 1 - y : y), ref->at[2], w);
	if (ref->flip[2])
		flip_row(row, w);
	for (int x = 0; x < w; x++) {
		if (row[x] == 0.0f)
			continue;
		row[x] = row[x] * ref->gain[c] + ref->add[c];
		if (ref->noise > 0) {
			vt_rng_seek(&r, 4 * (uint64_t)(from + (size_t)x));
			row[x] += (float)(ref->noise * vt_rng_normal(&r));
		}
	}
}

void vt_dataset_draw(const struct vt_patch_file *file, const struct vt_draw_opts *opts,
	uint64_t step, uint64_t slot, float *image, uint8_t *target)
{
	int d = opts->patch[0], h = opts->patch[1], w = opts->patch[2];
	size_t at = 0, voxels = (size_t)d * (size_t)h * (size_t)w;
	struct vt_patch_ref p;

	vt_dataset_choose(&p, file, opts, step, slot);
	for (int c = 0; c < file->c; c++)
		for (int z = 0; z < d; z++)
			for (int y = 0; y < h; y++, at += (size_t)w)
				draw_row(image + at, file, &p, opts->patch, c, z, y, at);
	if (p.dropped >= 0)
		memset(image + (size_t)p.dropped * voxels, 0, voxels * sizeof(float));
	for (int z = 0; z < d; z++)
		for (int y = 0; y < h; y++)
			copy_target(target + ((size_t)z * (size_t)h + (size_t)y) * (size_t)w, file,
				p.at[0] + (p.flip[0] ? d - 1 - z : z),
				p.at[1] + (p.flip[1] ? h - 1 - y : y), p.at[2], w, p.flip[2]);
}

int vt_parts_parse(const char **part, size_t room, char *text, struct vt_err *err)
{
	size_t n = 0;
	char *one;

	while ((one = strsep(&text, ",")) != NULL) {
		if (n + 1 == room)
			return vt_err_set(err, VT_EUSAGE,
				"--reinitialize: names more than %zu parts", n);
		if (*one)
			part[n++] = one;
	}
	part[n] = NULL;
	return 0;
}

int vt_parse_edges(int edge[3], const char *flag, const char *text, int least, int most,
	struct vt_err *err)
{
	char rest;

	if (sscanf(text, "%d%c", &edge[0], &rest) == 1)
		edge[1] = edge[2] = edge[0];
	else if (sscanf(text, "%d,%d,%d%c", &edge[0], &edge[1], &edge[2], &rest) != 3)
		return vt_err_set(err, VT_EUSAGE, "--%s=%s: must be one edge or three, z,y,x", flag,
			text);
	for (int a = 0; a < 3; a++)
		if (edge[a] < least || edge[a] > most)
			return vt_err_set(err, VT_EUSAGE,
				"--%s=%s: an edge must lie from %d to %d voxels", flag, text, least,
				most);
	return 0;
}

int vt_parse_patch(int patch[3], const char *text, struct vt_err *err)
{
	return vt_parse_edges(patch, "patch", text, 8, 512, err);
}

size_t vt_dataset_order(uint64_t seed, uint64_t epoch, size_t i, size_t n)
{
	struct vt_rng r = vt_rng_stream(seed, "order", epoch, 0, 0);
	uint32_t *p = vt_xmalloc(n * sizeof(*p));
	size_t answer;

	for (size_t k = 0; k < n; k++)
		p[k] = (uint32_t)k;
	for (size_t k = n; k > 1; k--) {
		uint32_t j = vt_rng_below(&r, (uint32_t)k), t = p[k - 1];

		p[k - 1] = p[j];
		p[j] = t;
	}
	answer = p[i];
	free(p);
	return answer;
}
