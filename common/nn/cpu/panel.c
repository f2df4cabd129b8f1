/* One task makes the outputs [from, end) of one item, counted as they lie in memory, for some
 * pairs of output blocks.  Its buffers: sums [pair][output][16]; of one tap and CHANNELS
 * channels, the inputs [channel / 8][output that the tap reaches][8].  Both are the task's own.
 * Weights are packed [pair][tap][channel][16]. */
#include "common/nn/cpu/panel.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/parallel.h"
#include "common/nn/cpu/fuse.h"

/* CHANNELS: of inputs that are copied together. TASKS: for each of several threads. */
enum { CHANNELS = 256, WIDE = 2 * VT_LANES, TASKS = 2 };

struct job {
	const struct vt_panel_conv *p;
	/* groups of outputs; parts of the pairs of output blocks */
	int groups, parts, pairs, taps;
};

struct task {
	/* outputs [from, end) of item n, pairs [pair, end_pair) */
	int n, from, end, pair, end_pair;
	float *sum, *x, *made; /* made: [output][8] that are stored as bf16 */
	/* outputs that the tap reaches, from `from` on, and where their inputs lie; lengths of the
	 * runs of inputs that lie side by side */
	int *at, reached, *run;
	size_t *input;
};

/* Long rows of few channels, or of every other output, are as well off with tiles. */
bool vt_panel_takes(const struct vt_conv *c, int c_in, struct vt_shape out, bool inverse)
{
	if (c_in < 32 || out.c < 32)
		return false;
	if (c->k == 1)
		return c_in > CHANNELS;
	if (inverse && c->stride > 1)
		return out.w <= 12;
	return out.c >= 64 || out.w < 28;
}

static int pairs_of(int channels)
{
	return (vt_blocks(channels) + 1) / 2;
}

size_t vt_panel_weight_floats(int c_out, int c_in, int taps)
{
	return (size_t)pairs_of(c_out) * WIDE * (size_t)taps * (size_t)c_in;
}

struct packing {
	const struct vt_conv_run *r;
	int c_out, c_in, taps;
	size_t so, si;
};

static void pack_lanes(float *to, const float *w, size_t so, size_t lanes)
{
	if (lanes >= WIDE)
		/* Constant trip count: the compiler makes vectors of it. */
		for (size_t l = 0; l < WIDE; l++)
			to[l] = w[l * so];
	else
		for (size_t l = 0; l < WIDE; l++)
			to[l] = l < lanes ? w[l * so] : 0.0f;
}

static void pack_pair(void *ctx, size_t pair)
{
	const struct packing *p = ctx;
	size_t c_in = (size_t)p->c_in, floats = WIDE * (size_t)p->taps * c_in;
	float *to = p->r->scratch + pair * floats;

	for (size_t i = 0; i < c_in; i++)
		for (size_t t = 0; t < (size_t)p->taps; t++)
			pack_lanes(to + (t * c_in + i) * WIDE,
				p->r->w + pair * WIDE * p->so + i * p->si + t, p->so,
				(size_t)p->c_out - pair * WIDE);
	if (p->r->bf16)
		p->r->k->to_bf16(to, to, floats);
}

void vt_panel_pack(const struct vt_conv_run *run, int c_out, int c_in, int taps, size_t so,
	size_t si)
{
	vt_parallel_for((size_t)pairs_of(c_out), pack_pair,
		&(struct packing){ run, c_out, c_in, taps, so, si });
}

static size_t block_of(const struct vt_view *view, int n, int b, int voxel)
{
	return ((size_t)(n * vt_blocks(view->s.c) + b) * vt_voxels(view->s) + (size_t)voxel) *
		VT_LANES;
}

static float *sums_of(const struct task *task, int pair, int output)
{
	return task->sum +
		((size_t)(pair - task->pair) * (size_t)(task->end - task->from) + (size_t)output) *
		WIDE;
}

static void begin_sums(const struct job *j, const struct task *task, int b)
{
	const struct vt_panel_conv *p = j->p;
	size_t outputs = (size_t)(task->end - task->from);
	float *sum = sums_of(task, b / 2, 0) + b % 2 * VT_LANES;
	/* An odd number of blocks leaves half a pair, whose sums are made of zeros and not
	 * stored. */
	bool channels = b < vt_blocks(p->out.s.c);
	const float *y = NULL, *start = channels && p->bias ? p->bias + (size_t)b * VT_LANES : NULL;

	if (channels && p->add)
		y = vt_read(p->r->k, p->out, block_of(&p->out, task->n, b, task->from),
			outputs * VT_LANES, task->made);
	for (size_t i = 0; i < outputs; i++, sum += WIDE)
		if (y || start)
			memcpy(sum, y ? y + i * VT_LANES : start, VT_LANES * sizeof(float));
		else
			memset(sum, 0, VT_LANES * sizeof(float));
}

static void end_sums(const struct job *j, const struct task *task, int b)
{
	const struct vt_panel_conv *p = j->p;
	size_t at = block_of(&p->out, task->n, b, task->from),
	       outputs = (size_t)(task->end - task->from);
	float *y = vt_making(p->out, at, task->made);
	const float *sum = sums_of(task, b / 2, 0) + b % 2 * VT_LANES;

	for (size_t i = 0; i < outputs; i++)
		memcpy(y + i * VT_LANES, sum + i * WIDE, VT_LANES * sizeof(float));
	if (p->r->fused)
		vt_fused_blocked(p->r->k, p->r->fused, b, y, at, outputs);
	vt_made(p->r->k, p->out, at, outputs * VT_LANES, y);
}

/* The outputs that tap (tz, ty, tx) reaches. */
static void reach(const struct vt_panel_conv *conv, struct task *task, int tz, int ty, int tx)
{
	struct vt_shape s = conv->out.s, in = conv->in.s;
	int k = conv->z->k;

	task->reached = 0;
	for (int at = task->from, count; at < task->end; at += count) {
		int x = at % s.w, y = at / s.w % s.h, z = at / s.w / s.h,
		    iz = conv->z->at[z * k + tz], iy = conv->y->at[y * k + ty];
		size_t row =
			((size_t)(iz < 0 ? 0 : iz) * (size_t)in.h + (size_t)(iy < 0 ? 0 : iy)) *
			(size_t)in.w;

		count = s.w - x < task->end - at ? s.w - x : task->end - at;
		for (int i = 0; iz >= 0 && iy >= 0 && i < count; i++) {
			int ix = conv->x->at[(x + i) * k + tx];

			/* Written always and counted only if inside: no branch in the loop. */
			task->at[task->reached] = at + i - task->from;
			task->input[task->reached] = (row + (size_t)(ix < 0 ? 0 : ix)) * VT_LANES;
			task->reached += ix >= 0;
		}
	}
}

/* Inputs that lie side by side are copied, widened or rounded together. */
static void find_runs(struct task *task)
{
	int runs = 0;

	for (int i = 0; i < task->reached; i++) {
		bool next = i > 0 && task->input[i] == task->input[i - 1] + VT_LANES;

		if (!next)
			task->run[runs++] = 0;
		task->run[runs - 1]++;
	}
}

static void copy_inputs(const struct vt_panel_conv *conv, const struct task *task, float *to,
	size_t from)
{
	const int *run = task->run;

	for (int i = 0; i < task->reached; i += *run++) {
		size_t at = from + task->input[i], floats = (size_t)*run * VT_LANES;

		if (conv->in.h)
			conv->r->k->widen(to, conv->in.h + at, floats);
		else if (conv->r->bf16)
			conv->r->k->to_bf16(to, conv->in.p + at, floats);
		else if (*run == 1)
			/* A constant size, as every run's of a stride: no call. */
			memcpy(to, conv->in.p + at, VT_LANES * sizeof(float));
		else
			memcpy(to, conv->in.p + at, floats * sizeof(float));
		to += floats;
	}
}

/* Inputs of channel blocks first and on: where they are if they lie side by side, else copied. */
static const float *inputs_of(const struct vt_panel_conv *conv, const struct task *task, int first,
	int blocks, size_t *block)
{
	/* A single tap of stride 1 without padding reads every voxel in order. */
	if (conv->z->k == 1 && conv->r->c->stride == 1 && !conv->r->c->pad && !conv->in.h &&
		!conv->r->bf16) {
		assert(task->input[task->reached - 1] ==
			task->input[0] + (size_t)(task->reached - 1) * VT_LANES);
		*block = vt_voxels(conv->in.s) * VT_LANES;
		return conv->in.p + block_of(&conv->in, task->n, first, 0) + task->input[0];
	}
	*block = (size_t)task->reached * VT_LANES;
	for (int b = 0; b < blocks; b++)
		copy_inputs(conv, task, task->x + (size_t)b * *block,
			block_of(&conv->in, task->n, first + b, 0));
	return task->x;
}

static const float *weights_of(const struct job *j, int pair, int tap, int channel)
{
	size_t c_in = (size_t)j->p->in.s.c;

	return j->p->weights +
		(((size_t)pair * (size_t)j->taps + (size_t)tap) * c_in + (size_t)channel) * WIDE;
}

/* Those that follow: of the next pair, then of the first one with the next channels, then with the
 * next tap. */
static const float *next_weights(const struct job *j, const struct task *task, int pair, int tap,
	int channel)
{
	if (pair + 1 < task->end_pair)
		return weights_of(j, pair + 1, tap, channel);
	if (channel + CHANNELS < j->p->in.s.c)
		return weights_of(j, task->pair, tap, channel + CHANNELS);
	return tap + 1 < j->taps ? weights_of(j, task->pair, tap + 1, 0) : NULL;
}

/* What one tap adds. */
static void add_tap(const struct job *j, struct task *task, int tap)
{
	const struct vt_panel_conv *p = j->p;
	int c_in = p->in.s.c;
	size_t block;

	for (int c = 0; c < c_in; c += CHANNELS) {
		int count = c_in - c < CHANNELS ? c_in - c : CHANNELS;

		const float *x = inputs_of(p, task, c / VT_LANES, vt_blocks(count), &block);

		for (int pair = task->pair; pair < task->end_pair; pair++)
			p->r->k->panel(&(struct vt_panel){ .x = x,
				.block = block,
				.w = weights_of(j, pair, tap, c),
				.next = next_weights(j, task, pair, tap, c),
				.sum = sums_of(task, pair, 0),
				.at = task->at,
				.c_in = count,
				.count = task->reached });
	}
}

static void group_task(void *ctx, size_t at)
{
	const struct job *j = ctx;
	const struct vt_panel_conv *p = j->p;
	int voxels = (int)vt_voxels(p->out.s), part = (int)(at % (size_t)j->parts), k = p->z->k,
	    group = (int)(at / (size_t)j->parts % (size_t)j->groups), channels = p->in.s.c;
	struct task t = { .n = (int)(at / (size_t)j->parts / (size_t)j->groups),
		.from = (int)((long)voxels * group / j->groups),
		.end = (int)((long)voxels * (group + 1) / j->groups),
		.pair = j->pairs * part / j->parts,
		.end_pair = j->pairs * (part + 1) / j->parts };
	size_t outputs = (size_t)(t.end - t.from), sums;
	int last = vt_blocks(p->out.s.c) < 2 * t.end_pair ? vt_blocks(p->out.s.c) : 2 * t.end_pair;

	sums = (size_t)(t.end_pair - t.pair) * outputs * WIDE;
	channels = channels < CHANNELS ? vt_blocks(channels) * VT_LANES : CHANNELS;
	t.sum = vt_xmalloc((sums + (size_t)(channels + VT_LANES) * outputs) * sizeof(float));
	t.x = t.sum + sums;
	t.made = t.x + (size_t)channels * outputs;
	t.at = vt_xmalloc(2 * outputs * sizeof(*t.at));
	t.run = t.at + outputs;
	t.input = vt_xmalloc(outputs * sizeof(*t.input));
	assert(t.from < t.end && t.pair < t.end_pair);
	for (int b = 2 * t.pair; b < 2 * t.end_pair; b++)
		begin_sums(j, &t, b);
	for (int tap = 0; tap < j->taps; tap++) {
		reach(p, &t, tap / (k * k), tap / k % k, tap % k);
		find_runs(&t);
		if (t.reached)
			add_tap(j, &t, tap);
	}
	for (int b = 2 * t.pair; b < last; b++)
		end_sums(j, &t, b);
	free(t.sum);
	free(t.at);
	free(t.input);
}

/* Few outputs: the channels are shared out too, so that every thread has work.  No sum is cut, so
 * the number of threads is a matter of speed alone. */
void vt_panel_conv(const struct vt_panel_conv *conv)
{
	int voxels = (int)vt_voxels(conv->out.s), threads = (int)vt_parallel_threads(), tasks,
	    least;
	struct job j = { .p = conv,
		.groups = (voxels + conv->per_group - 1) / conv->per_group,
		.pairs = pairs_of(conv->out.s.c),
		.taps = conv->z->k * conv->z->k * conv->z->k };

	assert(conv->per_group > 0 && voxels > 0);
	tasks = conv->out.s.n * j.groups;
	least = threads > 1 ? TASKS * threads : 1;
	j.parts = (least + tasks - 1) / tasks;
	/* No part of fewer than four pairs, if it can be: each copies the inputs for itself. */
	j.parts = j.parts > (j.pairs + 3) / 4 ? (j.pairs + 3) / 4 : j.parts;
	vt_parallel_for((size_t)tasks * (size_t)j.parts, group_task, &j);
}
