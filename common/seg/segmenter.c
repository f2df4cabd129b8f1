/* segmenter.c - members are opened by directory name and then ordered by group, so that the
 * sessions of a group lie side by side; a group is made of members with one contract. */
#include "common/seg/segmenter.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/image/morphology.h"
#include "common/nn/backend.h"
#include "common/nn/model.h"
#include "common/seg/contract.h"
#include "common/seg/paste.h"
#include "common/seg/window.h"

/* --- opening ------------------------------------------------------------- */

/* The directory itself, or those in it that hold a checkpoint, by name. */
static int list_checkpoints(struct vt_strs *dirs, const char *model, struct vt_err *err)
{
	char *own = vt_path_join(model, "checkpoint.json");
	struct vt_strs names = VT_STRS_INIT;
	bool single = vt_fs_exists(own);
	int rc = single ? 0 : vt_fs_list(&names, model, err);

	free(own);
	if (single)
		vt_strs_add(dirs, model);
	for (size_t i = 0; !rc && i < names.n; i++) {
		char *dir = vt_path_join(model, names.v[i]),
		     *file = vt_path_join(dir, "checkpoint.json");

		if (vt_fs_exists(file))
			vt_strs_add(dirs, dir);
		free(dir);
		free(file);
	}
	vt_strs_release(&names);
	if (!rc && !dirs->n)
		rc = vt_checkpoint_missing(model, err);
	return rc;
}

static const char *name_of(const struct vt_member *member)
{
	const char *slash = strrchr(member->dir, '/');

	return slash ? slash + 1 : member->dir;
}

/* Members of one ensemble may be prepared differently; what they say must mean the same. */
static int check_meaning(const struct vt_member *first, const struct vt_member *member,
	const char *allow, struct vt_err *err)
{
	/* what contracts say, in JSON; freed here */
	struct vt_json *a = vt_contract_of_checkpoint(first->checkpoint.json),
		       *b = vt_contract_of_checkpoint(member->checkpoint.json);
	char *who = vt_asprintf("ensemble member %s beside %s", name_of(member), name_of(first)),
	     *also = vt_asprintf("%s,ignore,settings,crop,spacing_mm,axes", allow ? allow : "");
	int rc = vt_contract_agree(a, b, who, also, err);

	if (!rc && member->checkpoint.softmax != first->checkpoint.softmax)
		rc = vt_err_set(err, VT_EDATA,
			"%s: one is read by softmax, the other by sigmoids; an ensemble needs one "
			"activation",
			who);
	free(also);
	free(who);
	vt_json_free(a);
	vt_json_free(b);
	return rc;
}

static bool same_contract(const struct vt_member *x, const struct vt_member *y)
{
	struct vt_json *a = vt_contract_of_checkpoint(x->checkpoint.json),
		       *b = vt_contract_of_checkpoint(y->checkpoint.json);
	struct vt_err none = VT_ERR_INIT;
	/* agreeing both ways, as one may leave out what the other says */
	bool same = !vt_contract_agree(a, b, "", NULL, &none) &&
		!vt_contract_agree(b, a, "", NULL, &none);

	vt_json_free(a);
	vt_json_free(b);
	return same;
}

static int open_member(struct vt_segmenter *segmenter, const char *dir, const char *allow,
	struct vt_err *err)
{
	struct vt_member *m = &segmenter->member[segmenter->n];
	int rc = vt_checkpoint_open(&m->checkpoint, dir, err);

	if (rc)
		return rc;
	m->dir = vt_xstrdup(dir);
	m->group = segmenter->n_groups;
	segmenter->n++;
	if (segmenter->n > 1)
		rc = check_meaning(&segmenter->member[0], m, allow, err);
	/* the first member of the same contract gives the group, or it is a new one */
	for (size_t i = 0; i + 1 < segmenter->n && m->group == segmenter->n_groups; i++)
		if (same_contract(&segmenter->member[i], m))
			m->group = segmenter->member[i].group;
	segmenter->n_groups += m->group == segmenter->n_groups;
	return rc;
}

static void order_by_group(struct vt_segmenter *segmenter)
{
	struct vt_member *sorted = vt_xcalloc(segmenter->n, sizeof(*sorted));
	size_t n = 0;

	for (int g = 0; g < segmenter->n_groups; g++)
		for (size_t i = 0; i < segmenter->n; i++)
			if (segmenter->member[i].group == g)
				sorted[n++] = segmenter->member[i];
	assert(n == segmenter->n); /* every group is below n_groups */
	free(segmenter->member);
	segmenter->member = sorted;
	segmenter->first = &segmenter->member[0].checkpoint; /* moved along with the members */
}

void vt_segment_settle(int64_t *device, int64_t precision)
{
	/* int8 is of the CPU alone */
	if (precision == VT_SEGMENT_INT8 && *device == VT_DEVICE_AUTO)
		*device = VT_DEVICE_CPU;
	vt_device_settle(device);
}

struct vt_json *vt_segment_describe(const struct vt_device *device, int64_t precision)
{
	struct vt_json *about = vt_device_describe(device);

	if (!device && (precision == VT_SEGMENT_BF16 || precision == VT_SEGMENT_INT8))
		vt_json_put_text(about, "precision", vt_segment_precisions[precision]);
	return about;
}

int vt_segmenter_open(struct vt_segmenter **out, const char *model,
	const struct vt_segmenter_opts *opts, struct vt_err *err)
{
	struct vt_segmenter *s = vt_xcalloc(1, sizeof(*s));
	struct vt_strs dirs = VT_STRS_INIT;
	int rc = list_checkpoints(&dirs, model, err);

	s->device = opts->device;
	s->weights = opts->weights;
	s->member = vt_xcalloc(dirs.n + 1, sizeof(*s->member));
	s->session = vt_xcalloc(dirs.n + 1, sizeof(*s->session));
	for (size_t i = 0; !rc && i < dirs.n; i++)
		rc = open_member(s, dirs.v[i], opts->allow, err);
	if (!rc)
		order_by_group(s);
	for (size_t i = 0; i < s->n; i++) {
		s->member[i].checkpoint.int8 = opts->precision == VT_SEGMENT_INT8;
		s->member[i].checkpoint.bf16 = !opts->device && opts->precision == VT_SEGMENT_BF16;
	}
	for (size_t i = 0; !rc && i < s->n; i++)
		rc = vt_checkpoint_session(&s->member[i].graph, &s->session[i],
			&s->member[i].checkpoint, s->member[i].dir, opts->weights,
			vt_predict_items(opts->device, s->member[i].checkpoint.patch), NULL,
			opts->device, err);
	vt_strs_release(&dirs);
	if (rc)
		vt_segmenter_close(s);
	else
		*out = s;
	return rc;
}

void vt_segmenter_close(struct vt_segmenter *segmenter)
{
	if (!segmenter)
		return;
	for (size_t i = 0; i < segmenter->n; i++) {
		vt_session_free(segmenter->session[i]);
		vt_graph_free(segmenter->member[i].graph);
		vt_checkpoint_close(&segmenter->member[i].checkpoint);
		free(segmenter->member[i].dir);
	}
	free(segmenter->session);
	free(segmenter->member);
	free(segmenter);
}

size_t vt_segmenter_group(const struct vt_segmenter *segmenter, int group, size_t *n)
{
	assert(group >= 0 && group < segmenter->n_groups);
	size_t first = 0;

	/* groups are consecutive, see order_by_group() */
	while (segmenter->member[first].group != group)
		first++;
	for (*n = 0; first + *n < segmenter->n && segmenter->member[first + *n].group == group;)
		++*n;
	return first;
}

int vt_segmenter_accepts(const struct vt_segmenter *segmenter, const struct vt_patch_file *file,
	const char *allow, struct vt_err *err)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < segmenter->n; i++) {
		char *who = segmenter->n > 1
			? vt_asprintf("subject %s, ensemble member %s", file->subject,
				  name_of(&segmenter->member[i]))
			: vt_asprintf("subject %s", file->subject);

		rc = vt_contract_admits(segmenter->member[i].checkpoint.json, file->header, who,
			allow, err);
		free(who);
	}
	return rc;
}

/* --- numbers of regions -------------------------------------------------- */

static bool plain_thresholds(const struct vt_segment_opts *opts, int n)
{
	for (int r = 0; r < n; r++)
		if (opts->threshold[r] != 0.5)
			return false;
	return true;
}

static int number_of(double *out, const struct vt_json *j, size_t i,
	const struct vt_manifest *manifest, const char *flag, const double bounds[2],
	struct vt_err *err)
{
	double v = vt_json_number(j->item[i], bounds[0] - 1); /* out of bounds if it is no number */

	if (!(v >= bounds[0] && v <= bounds[1]))
		return vt_err_set(err, VT_EUSAGE, "--%s: %s must be a number from %g to %g", flag,
			j->key[i], bounds[0], bounds[1]);
	for (int r = 0; r < manifest->n_regions; r++)
		if (!strcmp(manifest->region[r].name, j->key[i])) {
			out[r] = v;
			return 0;
		}
	return vt_err_set(err, VT_EUSAGE, "--%s: the manifest %s has no region \"%s\"", flag,
		manifest->name, j->key[i]);
}

static int read_numbers(double *out, const char *text, const struct vt_manifest *manifest,
	const char *flag, const double bounds[2], struct vt_err *err)
{
	struct vt_json *j = NULL;
	int rc = vt_json_parse(&j, text, strlen(text), flag, err);

	if (!rc && j->type != VT_JSON_OBJECT)
		rc = vt_err_set(err, VT_EUSAGE, "--%s: must be {\"region\": number, ...}", flag);
	for (size_t i = 0; !rc && i < j->n; i++)
		rc = number_of(out, j, i, manifest, flag, bounds, err);
	vt_json_free(j);
	return rc;
}

int vt_segment_read(struct vt_segment_opts *opts, const char *threshold, const char *least,
	const struct vt_checkpoint *c, struct vt_err *err)
{
	static const double share[2] = { 0, 1 }, size[2] = { 0, 1e9 };
	int rc;

	for (int r = 0; r < VT_MAX_REGIONS; r++) {
		opts->threshold[r] = 0.5; /* opts hold every region's number, given or not */
		opts->least_mm3[r] = 0;
	}
	rc = read_numbers(opts->threshold, threshold, c->manifest, "threshold", share, err);
	if (!rc)
		rc = read_numbers(opts->least_mm3, least, c->manifest, "min-component", size, err);
	if (!rc && c->softmax && !plain_thresholds(opts, c->n_regions))
		rc = vt_err_set(err, VT_EUSAGE,
			"--threshold: this checkpoint's regions exclude each other (softmax) and "
			"the largest wins; leave it out");
	return rc;
}

/* --- answering ----------------------------------------------------------- */

/* Edges of a window that holds the whole container. */
static void whole_edges(int edges[3], const struct vt_checkpoint *c,
	const struct vt_patch_file *file, enum vt_tta tta)
{
	const struct vt_model_request r = { c->model, vt_json_pointer(c->json, "/model/params"), 1,
		c->n_channels, c->n_outputs, { c->patch[0], c->patch[1], c->patch[2] } };
	int stride = vt_model_stride(&r);

	edges[0] = file->d;
	edges[1] = file->h;
	edges[2] = file->w;
	/* turned by 90 degrees y and x change places: the window holds both ways */
	if (tta == VT_TTA_AXIAL16)
		edges[1] = edges[2] = file->h > file->w ? file->h : file->w;
	for (int a = 0; a < 3; a++)
		/* the next multiple of what the network divides by */
		edges[a] += (stride - edges[a] % stride) % stride;
}

/* Builds member i's session for the whole container, unless it is so already. */
static int fit_whole(const struct vt_segmenter *segmenter, size_t i,
	const struct vt_patch_file *file, enum vt_tta tta, struct vt_err *err)
{
	struct vt_member *m = &segmenter->member[i];
	struct vt_shape now;
	int edges[3];

	assert(i < segmenter->n);
	whole_edges(edges, &m->checkpoint, file, tta);
	if (segmenter->session[i]) {
		now = vt_session_input_shape(segmenter->session[i]);
		if (now.d == edges[0] && now.h == edges[1] && now.w == edges[2])
			return 0;
	}
	vt_session_free(segmenter->session[i]);
	vt_graph_free(m->graph);
	return vt_checkpoint_session(&m->graph, &segmenter->session[i], &m->checkpoint, m->dir,
		segmenter->weights, vt_predict_items(segmenter->device, edges), edges,
		segmenter->device, err);
}

int vt_segment_begin(struct vt_prediction **out, const struct vt_segmenter *segmenter,
	struct vt_session *const *session, size_t n, const struct vt_patch_file *file,
	const struct vt_segment_opts *opts, struct vt_err *err)
{
	struct vt_predict_opts windows = opts->windows;

	windows.classes = segmenter->first->manifest->exclusive;
	for (size_t i = 0; windows.whole && i < n; i++)
		/* session points into segmenter->session: the group's place there */
		if (fit_whole(segmenter, (size_t)(session - segmenter->session) + i, file,
			    windows.tta, err))
			return vt_err_prefix(err, "subject %s", file->subject);
	return vt_predict_begin(out, session, n, segmenter->first->softmax, file, &windows, err);
}

/* Clears a region's bit in its components below the least size. */
static int drop_small(uint8_t *bits, const struct vt_manifest *manifest, int region,
	const struct vt_grid *grid, double voxels_least, struct vt_err *err)
{
	size_t n = vt_grid_count(grid), *size = NULL;
	unsigned char *mask = calloc(n, 1);
	uint32_t *label = malloc(n * sizeof(*label)), count;
	int rc = mask && label ? 0 : vt_err_nomem(err, n * sizeof(*label));

	assert(region >= 0 && region < manifest->n_regions);
	for (size_t v = 0; mask && label && v < n; v++)
		mask[v] = vt_region_holds(manifest, bits[v], region);
	if (!rc)
		rc = vt_components(label, &count, &size, mask, grid->dim, VT_CONNECT_26, err);
	for (size_t v = 0; !rc && v < n; v++)
		if (label[v] && (double)size[label[v]] < voxels_least)
			/* a class taken away leaves background */
			bits[v] = manifest->exclusive ? 0 : (uint8_t)(bits[v] & ~(1u << region));
	free(size);
	free(label);
	free(mask);
	return rc;
}

int vt_segment_drop_small(uint8_t *bits, const struct vt_manifest *manifest,
	const struct vt_grid *grid, const struct vt_segment_opts *opts, struct vt_err *err)
{
	double voxel = vt_grid_voxel_mm3(grid);
	int rc = 0;

	for (int r = 0; !rc && r < manifest->n_regions; r++)
		if (opts->least_mm3[r] > 0)
			rc = drop_small(bits, manifest, r, grid, opts->least_mm3[r] / voxel, err);
	return rc;
}

void vt_segment_rule(uint8_t *bits, const float *probability, const struct vt_checkpoint *c,
	size_t n, const struct vt_segment_opts *opts)
{
	if (c->softmax && c->manifest->exclusive) {
		vt_window_classes(bits, probability, c->n_outputs, n);
	} else if (c->softmax) {
		vt_window_regions(bits, probability, c->n_outputs, n, true);
	} else {
		memset(bits, 0, n);
		for (int r = 0; r < c->n_regions; r++)
			for (size_t v = 0; v < n; v++)
				/* bit r of a voxel: region r holds */
				bits[v] |= (uint8_t)(((double)probability[(size_t)r * n + v] >
							     opts->threshold[r])
					<< r);
	}
}

static bool nothing_found(const struct vt_patch_file *file)
{
	return vt_json_true(vt_json_get(file->header, "nothing_found"), false);
}

int vt_segment_probabilities(float *probability, const struct vt_segmenter *segmenter,
	struct vt_prediction *prediction, const struct vt_patch_file *file, struct vt_err *err)
{
	size_t n = (size_t)file->d * (size_t)file->h * (size_t)file->w,
	       outputs = (size_t)segmenter->first->n_outputs;

	if (!nothing_found(file))
		return vt_predict_probabilities(probability, prediction, err);
	for (size_t i = 0; i < n * outputs; i++) /* with softmax channel 0 is background */
		probability[i] = segmenter->first->softmax && i < n ? 1.0f : 0.0f;
	return 0;
}

/* Components end where the scan does: padding of the container is no part of them. */
static int drop_small_inside(uint8_t *bits, const struct vt_manifest *manifest,
	const struct vt_patch_file *file, const struct vt_segment_opts *opts, struct vt_err *err)
{
	const struct vt_grid grid = vt_patch_grid(file);
	size_t n = vt_grid_count(&grid);
	uint8_t *inside;
	bool any = false;
	int rc;

	for (int r = 0; r < manifest->n_regions; r++)
		any = any || opts->least_mm3[r] > 0;
	if (!any)
		return 0;
	inside = vt_xmalloc(n);
	rc = vt_paste_inside(inside, file, err);
	for (size_t v = 0; !rc && v < n; v++)
		/* padding of the container is not the scan's */
		bits[v] = inside[v] ? bits[v] : 0;
	free(inside);
	return rc ? rc : vt_segment_drop_small(bits, manifest, &grid, opts, err);
}

int vt_segment_bits(uint8_t *bits, const struct vt_segmenter *segmenter,
	struct vt_prediction *prediction, const struct vt_patch_file *file,
	const struct vt_segment_opts *opts, struct vt_err *err)
{
	const struct vt_checkpoint *c = segmenter->first;
	size_t n = (size_t)file->d * (size_t)file->h * (size_t)file->w;
	float *probability;
	int rc;

	if (nothing_found(file)) {
		memset(bits, 0, n);
		return 0;
	}
	if (c->softmax || plain_thresholds(opts, c->n_regions)) {
		rc = vt_predict_bits(bits, prediction, err);
		return rc ? rc : drop_small_inside(bits, c->manifest, file, opts, err);
	}
	probability = malloc(n * (size_t)c->n_outputs * sizeof(float));
	if (!probability)
		return vt_err_nomem(err, n * (size_t)c->n_outputs * sizeof(float));
	rc = vt_predict_probabilities(probability, prediction, err);
	if (!rc) {
		vt_segment_rule(bits, probability, c, n, opts);
		rc = drop_small_inside(bits, c->manifest, file, opts, err);
	}
	free(probability);
	return rc;
}
