/* train_draw.c - a batch of patches, where the session is: here or on its device. The one thing
 * that a device may leave to the host is to draw a batch, where a volume does not fit into its
 * memory or a list of changes is asked for.
 *
 * Patches that are drawn here are drawn a batch ahead, on a thread of their own beside the passes,
 * if more than one thread may be used: what is drawn depends on seed, step and place alone, so the
 * bytes are the same. That thread writes only the buffers of `ahead`, which become the trainer's
 * own, and the other way round, once it has been joined. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/parallel.h"
#include "common/nn/backend.h"
#include "common/seg/train_state.h"

struct vt_train_ahead {
	pthread_t thread;
	bool drawing;
	uint64_t step; /* what is drawn */
	int round;
	float *image;
	uint8_t *target;
};

void vt_train_draw_begin(struct vt_trainer *t)
{
	size_t voxels = t->voxels * (size_t)t->o->batch;

	if (vt_parallel_threads() < 2)
		return;
	t->ahead = vt_xcalloc(1, sizeof(*t->ahead));
	t->ahead->image = vt_xmalloc(voxels * (size_t)t->channels * sizeof(float));
	t->ahead->target = vt_xmalloc(voxels);
}

void vt_train_draw_end(struct vt_trainer *t)
{
	if (!t->ahead)
		return;
	if (t->ahead->drawing)
		pthread_join(t->ahead->thread, NULL);
	free(t->ahead->image);
	free(t->ahead->target);
	free(t->ahead);
	t->ahead = NULL;
}

struct vt_draw_opts vt_train_draw_opts(const struct vt_trainer *t)
{
	struct vt_draw_opts draw = t->o->draw;

	memcpy(draw.patch, t->o->patch, sizeof(draw.patch));
	draw.seed = t->o->seed;
	return draw;
}

/* Which training subject patch `slot` of a step comes from. */
static size_t subject_of(const struct vt_trainer *t, uint64_t step, uint64_t slot)
{
	const struct vt_train_cohort *c =
		t->n_cohorts ? &t->cohort[vt_train_cohort_of(t, step)] : NULL;
	const size_t *train = c ? c->train : t->train;
	size_t n = c ? c->n_train : t->n_train;
	uint64_t own = c && t->o->balanced ? step / (uint64_t)t->n_cohorts : step,
		 k = own * (uint64_t)t->o->batch * (uint64_t)t->o->accumulate + slot;

	return train[vt_dataset_order(t->o->seed, k / n, (size_t)(k % n), n)];
}

static uint64_t slot_of(const struct vt_trainer *t, int round, int item)
{
	return (uint64_t)round * (uint64_t)t->o->batch + (uint64_t)item;
}

/* Voxels to be ignored leave the target and go to a list of their own. */
void vt_train_split_ignored(struct vt_trainer *t, size_t patches)
{
	for (size_t v = 0; t->ignored && v < patches * t->voxels; v++) {
		t->ignored[v] = t->target[v] == VT_PATCH_IGNORED;
		if (t->ignored[v])
			t->target[v] = 0;
	}
}

/* Batch `round` of step `step`: a function of these two alone, whoever draws it. */
static void draw_batch(const struct vt_trainer *t, uint64_t step, int round, float *images,
	uint8_t *targets)
{
	struct vt_draw_opts draw = vt_train_draw_opts(t);
	const struct vt_dataset *d = t->n_cohorts ? t->cohort[vt_train_cohort_of(t, step)].d : t->d;

	for (int b = 0; b < t->o->batch; b++) {
		uint64_t slot = slot_of(t, round, b);
		const struct vt_patch_file *f = &d->file[subject_of(t, step, slot)];
		float *image = images + (size_t)b * (size_t)t->channels * t->voxels;
		uint8_t *target = targets + (size_t)b * t->voxels;

		if (t->o->augment)
			vt_augment_draw(t->o->augment, f, &draw, step, slot, image, target, NULL);
		else
			vt_dataset_draw(f, &draw, step, slot, image, target);
	}
	for (int b = 0; t->class_of && b < t->o->batch; b++)
		targets[b] = (uint8_t)t->class_of[subject_of(t, step, slot_of(t, round, b))];
}

static void *draw_ahead(void *arg)
{
	struct vt_trainer *t = arg;
	struct vt_train_ahead *a = t->ahead;

	vt_parallel_alone();
	draw_batch(t, a->step, a->round, a->image, a->target);
	return NULL;
}

/* The batch behind this one is drawn while this one is learned from. */
static void begin_ahead(struct vt_trainer *t, int round)
{
	struct vt_train_ahead *a = t->ahead;
	bool last = round + 1 == t->o->accumulate;

	a->step = t->step + last;
	a->round = last ? 0 : round + 1;
	/* a thread that cannot be started is done without */
	a->drawing = a->step < t->o->last && !pthread_create(&a->thread, NULL, draw_ahead, t);
}

/* Takes what was drawn ahead, if it is this batch. */
static bool take_ahead(struct vt_trainer *t, int round)
{
	struct vt_train_ahead *a = t->ahead;
	float *image = t->image;
	uint8_t *target = t->target;

	if (!a || !a->drawing)
		return false;
	pthread_join(a->thread, NULL);
	a->drawing = false;
	if (a->step != t->step || a->round != round)
		return false;
	t->image = a->image;
	t->target = a->target;
	a->image = image;
	a->target = target;
	return true;
}

static void draw_here(struct vt_trainer *t, int round)
{
	const struct vt_manifest *m = t->n_cohorts ? t->cohort[t->turn].manifest : t->manifest;

	if (!take_ahead(t, round))
		draw_batch(t, t->step, round, t->image, t->target);
	if (t->ahead)
		begin_ahead(t, round);
	vt_train_see_patches(t);
	vt_train_split_ignored(t, (size_t)t->o->batch);
	if (t->o->loss.softmax && !t->class_of && !m->exclusive)
		vt_loss_classes(t->target, t->target, (size_t)t->o->batch * t->voxels);
}

/* From the volumes that lie there; false where one does not. */
static bool draw_there(struct vt_trainer *t, struct vt_remote *r, int round)
{
	struct vt_draw_opts o = vt_train_draw_opts(t);

	for (int b = 0; b < t->o->batch; b++) {
		uint64_t slot = slot_of(t, round, b);
		size_t i = subject_of(t, t->step, slot);
		const struct vt_patch_file *f = &t->d->file[i];
		struct vt_patch_ref p;

		if (!vt_remote_keep(r, b, (int)i,
			    &(struct vt_volume_ref){ f->image, f->half, f->regions, f->c, f->d,
				    f->h, f->w }))
			return false;
		vt_dataset_choose(&p, f, &o, t->step, slot);
		p.classes = t->o->loss.softmax && !f->exclusive;
		vt_remote_draw(r, b, (int)i, &p);
	}
	return true;
}

void vt_train_batch_draw(struct vt_trainer *t, int round)
{
	struct vt_remote *r = vt_session_remote(t->session);

	if (r && !t->o->augment && draw_there(t, r, round)) {
		t->watched = false;
		return;
	}
	draw_here(t, round);
	vt_session_set_input(t->session, t->image);
	if (r)
		vt_remote_set_target(r, t->target);
}
