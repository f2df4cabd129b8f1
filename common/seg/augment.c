/* augment.c - reads the list, and draws what happens to a patch.  Each entry has a stream of its
 * own, so that adding one at the end changes nothing of the others. */
#include "common/seg/augment.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/fmath.h"
#include "common/seg/augment_internal.h"

enum { MOST_STEPS = 64 };

struct vt_augment {
	struct vt_augment_step step[MOST_STEPS]; /* gate_p: a gate's probability */
	double gate_p[MOST_STEPS];
	int n, n_gates;
};

/* What an entry of each name takes; lo and hi bound its range, step is whether one is needed. */
static const struct {
	const char *name, *keys;
	double lo, hi;
	bool range;
} kinds[VT_AUG_KINDS] = {
	[VT_AUG_ROTATE] = { "rotate", "axes", -180, 180, true },
	[VT_AUG_ZOOM] = { "zoom", "", 0.25, 4, true },
	[VT_AUG_TRANSLATE] = { "translate", "axes", -1000, 1000, true },
	[VT_AUG_ELASTIC] = { "elastic", "grid", 0, 64, true },
	[VT_AUG_FLIP] = { "flip", "axes", 0, 0, false },
	[VT_AUG_ROTATE90] = { "rotate90", "", 0, 0, false },
	[VT_AUG_SWAP] = { "swap", "", 0, 0, false },
	[VT_AUG_SCALE] = { "scale", "same channel_p", -100, 100, true },
	[VT_AUG_SHIFT] = { "shift", "same channel_p everywhere", -1e6, 1e6, true },
	[VT_AUG_NOISE] = { "noise", "same channel_p everywhere relative", 0, 1e6, true },
	[VT_AUG_GAMMA] = { "gamma", "same channel_p invert keep", 0.05, 20, true },
	[VT_AUG_CONTRAST] = { "contrast", "same channel_p", 0, 100, true },
	[VT_AUG_BLUR] = { "blur", "same channel_p", 0, 16, true },
	[VT_AUG_LOWRES] = { "lowres", "same channel_p", 0.05, 1, true },
	[VT_AUG_DROP] = { "drop", "", 0, 0, false },
};

/* --- the list ------------------------------------------------------------ */

struct parse {
	struct vt_augment *a;
	const int *patch;
	char at[48]; /* "--augment[2]" */
};

static bool has_word(const char *words, const char *word)
{
	size_t n = strlen(word);

	for (const char *p = strstr(words, word); p; p = strstr(p + 1, word))
		if ((p == words || p[-1] == ' ') && (p[n] == ' ' || !p[n]))
			return true;
	return false;
}

static int check_keys(const struct parse *parse, const struct vt_json *j, const char *keys,
	struct vt_err *err)
{
	for (size_t i = 0; i < j->n; i++)
		if (!has_word("name p", j->key[i]) && !has_word(keys, j->key[i]))
			return vt_err_set(err, VT_EUSAGE,
				"%s: unknown key \"%s\"; known here: name, p, %s", parse->at,
				j->key[i], keys);
	return 0;
}

static int take_probability(double *out, const struct parse *parse, const struct vt_json *j,
	const char *key, struct vt_err *err)
{
	const struct vt_json *v = vt_json_get(j, key);

	*out = v ? vt_json_number(v, -1) : 1;
	if (!(*out >= 0 && *out <= 1))
		return vt_err_set(err, VT_EUSAGE, "%s: %s must be a probability, from 0 to 1",
			parse->at, key);
	return 0;
}

static int take_range(struct vt_augment_step *step, const struct parse *parse,
	const struct vt_json *j, struct vt_err *err)
{
	const struct vt_json *r = vt_json_get(j, "range");

	assert(kinds[step->kind].range);
	step->lo = vt_json_number(vt_json_at(r, 0), 1); /* defaults are refused below: 1 > 0 */
	step->hi = vt_json_number(vt_json_at(r, 1), 0);
	if (!r || r->type != VT_JSON_ARRAY || r->n != 2 || !(step->lo <= step->hi) ||
		!(step->lo >= kinds[step->kind].lo && step->hi <= kinds[step->kind].hi))
		return vt_err_set(err, VT_EUSAGE,
			"%s: %s needs \"range\": [least, most] within %g to %g", parse->at,
			kinds[step->kind].name, kinds[step->kind].lo, kinds[step->kind].hi);
	return 0;
}

static int take_axes(struct vt_augment_step *step, const struct parse *parse,
	const struct vt_json *j, struct vt_err *err)
{
	const char *text = vt_json_text(vt_json_get(j, "axes"), "zyx");

	for (int a = 0; a < 3; a++)
		step->axis[a] = strchr(text, "zyx"[a]) != NULL;
	if (!*text || text[strspn(text, "zyx")])
		return vt_err_set(err, VT_EUSAGE, "%s: axes is \"%s\"; give letters of zyx",
			parse->at, text);
	return 0;
}

static int check_shape(const struct vt_augment_step *step, const struct parse *parse,
	struct vt_err *err)
{
	const int *n = parse->patch;

	if (step->kind == VT_AUG_SWAP && (n[0] != n[1] || n[1] != n[2]))
		return vt_err_set(err, VT_EUSAGE,
			"%s: swap needs a cubic patch, not %dx%dx%d; give --patch one edge",
			parse->at, n[0], n[1], n[2]);
	if (step->kind == VT_AUG_ROTATE90 && n[1] != n[2])
		return vt_err_set(err, VT_EUSAGE,
			"%s: rotate90 needs a patch that is square in the axial plane, not %dx%d",
			parse->at, n[1], n[2]);
	return 0;
}

static int parse_step(struct parse *parse, const struct vt_json *j, int gate, struct vt_err *err)
{
	struct vt_augment_step s = { .gate = gate, .axis = { true, true, true } };
	const char *name = vt_json_text(vt_json_get(j, "name"), "");
	char keys[96];
	int kind = 0, rc;

	while (kind < VT_AUG_KINDS && strcmp(kinds[kind].name, name))
		kind++;
	if (kind == VT_AUG_KINDS)
		return vt_err_set(err, VT_EUSAGE,
			"%s: no augmentation is named \"%s\"; there are rotate, zoom, "
			"translate, elastic, flip, "
			"rotate90, swap, scale, shift, noise, gamma, contrast, blur, lowres, drop",
			parse->at, name);
	if (parse->a->n == MOST_STEPS)
		return vt_err_set(err, VT_EUSAGE, "--augment: more than %d entries", MOST_STEPS);
	s.kind = (enum vt_augment_kind)kind;
	snprintf(keys, sizeof(keys), "%s%s", kinds[kind].range ? "range " : "", kinds[kind].keys);
	rc = check_keys(parse, j, keys, err);
	if (!rc)
		rc = take_probability(&s.p, parse, j, "p", err);
	if (!rc)
		rc = take_probability(&s.channel_p, parse, j, "channel_p", err);
	if (!rc && kinds[kind].range)
		rc = take_range(&s, parse, j, err);
	if (!rc)
		rc = take_axes(&s, parse, j, err);
	s.same = vt_json_true(vt_json_get(j, "same"), false);
	s.relative = vt_json_true(vt_json_get(j, "relative"), false);
	s.everywhere = vt_json_true(vt_json_get(j, "everywhere"), false);
	s.invert = vt_json_true(vt_json_get(j, "invert"), false);
	s.keep = vt_json_true(vt_json_get(j, "keep"), false);
	s.grid = vt_json_number(vt_json_get(j, "grid"), 32);
	if (!rc && !(s.grid >= 4 && s.grid <= 512))
		rc = vt_err_set(err, VT_EUSAGE, "%s: grid must lie from 4 to 512 voxels",
			parse->at);
	if (!rc)
		rc = check_shape(&s, parse, err);
	if (!rc)
		parse->a->step[parse->a->n++] = s;
	return rc;
}

static int parse_list(struct parse *parse, const struct vt_json *list, int gate, struct vt_err *err)
{
	size_t stem = strlen(parse->at);
	int rc = 0;

	for (size_t i = 0; !rc && i < list->n; i++) {
		const struct vt_json *j = vt_json_at(list, i), *of = vt_json_get(j, "of");

		snprintf(parse->at + stem, sizeof(parse->at) - stem, "[%zu]", i);
		if (j->type != VT_JSON_OBJECT) {
			rc = vt_err_set(err, VT_EUSAGE, "%s: must be an object", parse->at);
		} else if (!of) {
			rc = parse_step(parse, j, gate, err);
		} else if (gate >= 0 || of->type != VT_JSON_ARRAY ||
			parse->a->n_gates == MOST_STEPS) {
			rc = vt_err_set(err, VT_EUSAGE,
				"%s: of must be a list, and no gate lies behind another",
				parse->at);
		} else {
			rc = check_keys(parse, j, "of", err);
			if (!rc)
				rc = take_probability(&parse->a->gate_p[parse->a->n_gates], parse,
					j, "p", err);
			if (!rc)
				rc = parse_list(parse, of, parse->a->n_gates++, err);
		}
		parse->at[stem] = '\0';
	}
	return rc;
}

int vt_augment_parse(struct vt_augment **out, const struct vt_json *list, const int patch[3],
	struct vt_err *err)
{
	struct parse p = { vt_xcalloc(1, sizeof(struct vt_augment)), patch, "--augment" };
	int rc;

	*out = NULL;
	if (list->type == VT_JSON_ARRAY)
		rc = parse_list(&p, list, -1, err);
	else
		rc = vt_err_set(err, VT_EUSAGE, "--augment: must be a list");
	if (!rc && p.a->n)
		*out = p.a;
	else
		vt_augment_free(p.a);
	return rc;
}

void vt_augment_free(struct vt_augment *augment)
{
	free(augment);
}

/* --- draws --------------------------------------------------------------- */

/* One patch on its way. */
struct drawing {
	const struct vt_augment *a;
	const struct vt_draw_opts *o;
	uint64_t subject, step, slot;
	struct vt_json *trace;
	bool open[MOST_STEPS]; /* gates */
};

static struct vt_rng stream(const struct drawing *drawing, const char *purpose, int k)
{
	assert(k >= 0 && k < MOST_STEPS);
	return vt_rng_stream(drawing->o->seed, purpose, drawing->subject, drawing->step,
		drawing->slot * MOST_STEPS + (uint64_t)k);
}

/* Whether entry k happens; its stream goes on from there. */
static bool happens(const struct drawing *drawing, int k, struct vt_rng *rng)
{
	const struct vt_augment_step *s = &drawing->a->step[k];

	/* drawn whether its gate is open or not: a closed gate changes nothing of what follows */
	*rng = stream(drawing, "augment", k);
	return vt_rng_uniform(rng) < s->p && (s->gate < 0 || drawing->open[s->gate]);
}

static struct vt_json *note(const struct drawing *drawing, int k)
{
	struct vt_json *j;

	if (!drawing->trace)
		return NULL;
	j = vt_json_new(VT_JSON_OBJECT);
	vt_json_put_text(j, "name", kinds[drawing->a->step[k].kind].name);
	vt_json_push(drawing->trace, j);
	return j;
}

static void note_reals(struct vt_json *j, const char *key, const double *v, size_t n)
{
	struct vt_json *list;

	if (!j)
		return;
	list = vt_json_new(VT_JSON_ARRAY);
	for (size_t i = 0; i < n; i++)
		vt_json_push(list, vt_json_new_real(v[i]));
	vt_json_put(j, key, list);
}

static void multiply(double m[3][3], double by[3][3])
{
	double out[3][3];

	for (int i = 0; i < 3; i++)
		for (int k = 0; k < 3; k++)
			out[i][k] = m[i][0] * by[0][k] + m[i][1] * by[1][k] + m[i][2] * by[2][k];
	memcpy(m, out, sizeof(out));
}

/* m *= Rz Ry Rx, in mm. */
static void draw_rotation(struct vt_sampling *sampling, const struct vt_augment_step *step,
	struct vt_rng *rng, const double spacing[3], struct vt_json *trace)
{
	double degrees[3] = { 0 };

	/* an axis that does not turn takes no draw */
	for (int a = 0; a < 3; a++)
		if (step->axis[a])
			degrees[a] = vt_rng_between(rng, step->lo, step->hi);
	for (int a = 0; a < 3; a++) {
		double angle = degrees[a] * 3.14159265358979323846 / 180, c = vt_cos(angle),
		       e = vt_sin(angle), turn[3][3] = { { 1, 0, 0 }, { 0, 1, 0 }, { 0, 0, 1 } };
		int u = a == 0 ? 1 : 0, v = a == 2 ? 1 : 2; /* the plane that turns about axis a */

		turn[u][u] = turn[v][v] = c;
		turn[u][v] = -e * spacing[v] / spacing[u]; /* m acts on voxels, the turn on mm */
		turn[v][u] = e * spacing[u] / spacing[v];
		multiply(sampling->m, turn);
	}
	sampling->bends = true;
	note_reals(trace, "degrees", degrees, 3);
}

static void draw_zoom(struct vt_sampling *sampling, const struct vt_augment_step *step,
	struct vt_rng *rng, struct vt_json *trace)
{
	double factor = vt_rng_between(rng, step->lo, step->hi);

	for (int i = 0; i < 9; i++)
		sampling->m[i / 3][i % 3] /= factor; /* positions draw nearer: things grow */
	sampling->bends = true;
	note_reals(trace, "factor", &factor, 1);
}

/* The patch is taken from so many mm beside its place. */
static void draw_translation(struct vt_sampling *sampling, const struct vt_augment_step *step,
	struct vt_rng *rng, const double spacing[3], struct vt_json *trace)
{
	double mm[3] = { 0 };

	for (int a = 0; a < 3; a++) {
		if (step->axis[a])
			mm[a] = vt_rng_between(rng, step->lo, step->hi);
		sampling->center[a] += mm[a] / spacing[a];
	}
	sampling->bends = true;
	note_reals(trace, "mm", mm, 3);
}

/* Several elastic entries add up only where their grids are one: the last replaces those before. */
static void draw_elastic(struct vt_sampling *sampling, const struct vt_augment_step *step,
	struct vt_rng *rng, const int patch[3], struct vt_json *trace)
{
	double sd = vt_rng_between(rng, step->lo, step->hi);
	size_t n = 3;

	for (int a = 0; a < 3; a++) {
		/* (patch - 1) / grid is the last cell; each needs four control points */
		sampling->n_control[a] = (int)((patch[a] - 1) / step->grid) + 4;
		n *= (size_t)sampling->n_control[a];
	}
	free(sampling->control);
	sampling->control = vt_xmalloc(n * sizeof(*sampling->control));
	sampling->grid = step->grid;
	sampling->bends = true;
	for (size_t i = 0; i < n; i++)
		sampling->control[i] = sd * vt_rng_normal(rng);
	note_reals(trace, "sd", &sd, 1);
	note_reals(trace, "control", sampling->control, n);
}

/* The patch's axes u and v change places: what came along one comes along the other. */
static void exchange(struct vt_sampling *sampling, int u, int v)
{
	int t = sampling->axis[u];

	sampling->axis[u] = sampling->axis[v];
	sampling->axis[v] = t;
}

static void draw_exact(struct vt_sampling *sampling, const struct vt_augment_step *step,
	struct vt_rng *rng, struct vt_json *trace)
{
	static const int pair[3][2] = { { 0, 1 }, { 0, 2 }, { 1, 2 } };
	double what[3] = { 0 };
	uint32_t k;

	switch (step->kind) {
	case VT_AUG_FLIP:
		for (int a = 0; a < 3; a++) {
			what[a] = vt_rng_uniform(rng) < 0.5 && step->axis[a];
			sampling->flip[sampling->axis[a]] ^= what[a] != 0;
		}
		break;
	case VT_AUG_ROTATE90: /* a quarter turn takes (y, x) from (x, n - 1 - y): numpy.rot90 */
		what[0] = k = 1 + vt_rng_below(rng, 3);
		for (; k; k--) {
			exchange(sampling, 1, 2);
			sampling->flip[sampling->axis[1]] ^= true;
		}
		break;
	default:
		k = vt_rng_below(rng, 3);
		what[0] = pair[k][0];
		what[1] = pair[k][1];
		exchange(sampling, pair[k][0], pair[k][1]);
	}
	note_reals(trace, "what", what, 3);
}

static void draw_space(struct vt_sampling *sampling, struct drawing *drawing,
	const struct vt_patch_file *file)
{
	const struct vt_json *mm = vt_json_get(file->header, "spacing_mm");
	double spacing[3];

	for (size_t a = 0; a < 3; a++)
		spacing[a] = vt_json_number(vt_json_at(mm, a), 1);
	for (int k = 0; k < drawing->a->n; k++) {
		const struct vt_augment_step *step = &drawing->a->step[k];
		struct vt_rng r;

		if (step->kind > VT_AUG_SWAP || !happens(drawing, k, &r))
			continue;
		if (step->kind == VT_AUG_ROTATE)
			draw_rotation(sampling, step, &r, spacing, note(drawing, k));
		else if (step->kind == VT_AUG_ZOOM)
			draw_zoom(sampling, step, &r, note(drawing, k));
		else if (step->kind == VT_AUG_TRANSLATE)
			draw_translation(sampling, step, &r, spacing, note(drawing, k));
		else if (step->kind == VT_AUG_ELASTIC)
			draw_elastic(sampling, step, &r, drawing->o->patch, note(drawing, k));
		else
			draw_exact(sampling, step, &r, note(drawing, k));
	}
}

/* gamma: below and above 1 equally often, where the range has both. */
static double draw_value(const struct vt_augment_step *step, struct vt_rng *rng)
{
	/* drawn for every gamma: ranges with and without 1 inside take as many draws */
	double u = step->kind == VT_AUG_GAMMA ? vt_rng_uniform(rng) : 0;

	if (step->kind != VT_AUG_GAMMA || step->hi <= 1 || step->lo >= 1)
		return vt_rng_between(rng, step->lo, step->hi);
	return u < 0.5 ? vt_rng_between(rng, step->lo, 1) : vt_rng_between(rng, 1, step->hi);
}

static void change_channels(struct drawing *drawing, int k, struct vt_rng *rng, float *image, int n)
{
	const struct vt_augment_step *s = &drawing->a->step[k];
	const int *p = drawing->o->patch;
	size_t voxels = (size_t)p[0] * (size_t)p[1] * (size_t)p[2];
	double value[VT_PATCH_CHANNELS] = { 0 }, taken[VT_PATCH_CHANNELS] = { 0 };
	struct vt_json *j = note(drawing, k);

	assert(n > 0 && n <= VT_PATCH_CHANNELS);
	/* drawn for each channel, taken or not: what one does moves nothing of another */
	for (int c = 0; c < n; c++) {
		taken[c] = vt_rng_uniform(rng) < s->channel_p;
		value[c] = draw_value(s, rng);
		if (s->same)
			value[c] = value[0];
	}
	note_reals(j, "value", value, (size_t)n);
	note_reals(j, "taken", taken, (size_t)n);
	for (int c = 0; c < n; c++) {
		struct vt_augment_channel ch = { image + (size_t)c * voxels, { p[0], p[1], p[2] },
			voxels, value[c], stream(drawing, "augment noise", k) };

		/* a channel's noise begins behind that of the channel before */
		vt_rng_seek(&ch.rng, 4 * (uint64_t)c * voxels);
		if (taken[c] > 0)
			vt_augment_intensity(s, &ch);
	}
}

static void change_intensities(struct drawing *drawing, float *image, int n_channels)
{
	const int *p = drawing->o->patch;
	size_t voxels = (size_t)p[0] * (size_t)p[1] * (size_t)p[2];

	for (int k = 0; k < drawing->a->n; k++) {
		struct vt_rng r;

		if (drawing->a->step[k].kind <= VT_AUG_SWAP || !happens(drawing, k, &r))
			continue;
		if (drawing->a->step[k].kind == VT_AUG_DROP) {
			double c = vt_rng_below(&r, (uint32_t)n_channels);

			note_reals(note(drawing, k), "channel", &c, 1);
			memset(image + (size_t)c * voxels, 0, voxels * sizeof(*image));
		} else {
			change_channels(drawing, k, &r, image, n_channels);
		}
	}
}

void vt_augment_draw(const struct vt_augment *augment, const struct vt_patch_file *file,
	const struct vt_draw_opts *opts, uint64_t step, uint64_t slot, float *image,
	uint8_t *target, struct vt_json *trace)
{
	struct vt_sampling s = { .m = { { 1, 0, 0 }, { 0, 1, 0 }, { 0, 0, 1 } },
		.axis = { 0, 1, 2 } };
	struct vt_draw_opts plain = vt_draw_place(opts);
	struct drawing d = { .a = augment,
		.o = opts,
		.subject = vt_rng_hash(file->subject),
		.step = step,
		.slot = slot,
		.trace = trace };
	struct vt_patch_ref where;

	vt_dataset_choose(&where, file, &plain, step, slot);
	for (int i = 0; i < 3; i++)
		s.center[i] = where.at[i] + 0.5 * (opts->patch[i] - 1);
	note_reals(trace ? (vt_json_push(trace, vt_json_new(VT_JSON_OBJECT)), trace->item[0])
			 : NULL,
		"center", s.center, 3);
	/* gates before entries, which look at them */
	for (int g = 0; g < augment->n_gates; g++) {
		struct vt_rng r = stream(&d, "augment gate", g);

		d.open[g] = vt_rng_uniform(&r) < augment->gate_p[g];
	}
	draw_space(&s, &d, file);
	/* space first, intensities on what came of it */
	vt_augment_sample(image, target, file, &s, opts->patch);
	free(s.control);
	change_intensities(&d, image, file->c);
}
