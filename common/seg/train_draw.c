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

void vt_train_draw_begin(struct vt_trainer *trainer)
{
	size_t voxels = trainer->voxels * (size_t)trainer->o->batch;

	if (vt_parallel_threads() < 2)
		return;
	trainer->ahead = vt_xcalloc(1, sizeof(*trainer->ahead));
	trainer->ahead->image = vt_xmalloc(voxels * (size_t)trainer->channels * sizeof(float));
	trainer->ahead->target = vt_xmalloc(voxels);
}

void vt_train_draw_end(struct vt_trainer *trainer)
{
	if (!trainer->ahead)
		return;
	if (trainer->ahead->drawing)
		pthread_join(trainer->ahead->thread, NULL);
	free(trainer->ahead->image);
	free(trainer->ahead->target);
	free(trainer->ahead);
	trainer->ahead = NULL;
}

struct vt_draw_opts vt_train_draw_opts(const struct vt_trainer *trainer)
{
	struct vt_draw_opts draw = trainer->o->draw;

	memcpy(draw.patch, trainer->o->patch, sizeof(draw.patch));
	draw.seed = trainer->o->seed;
	return draw;
}

/* Which training subject patch `slot` of a step comes from. */
static size_t subject_of(const struct vt_trainer *trainer, uint64_t step, uint64_t slot)
{
	const struct vt_train_cohort *c =
		trainer->n_cohorts ? &trainer->cohort[vt_train_cohort_of(trainer, step)] : NULL;
	const size_t *train = c ? c->train : trainer->train;
	size_t n = c ? c->n_train : trainer->n_train;
	uint64_t own = c && trainer->o->balanced ? step / (uint64_t)trainer->n_cohorts : step,
		 k = own * (uint64_t)trainer->o->batch * (uint64_t)trainer->o->accumulate + slot;

	return train[vt_dataset_order(trainer->o->seed, k / n, (size_t)(k % n), n)];
}

static uint64_t slot_of(const struct vt_trainer *trainer, int round, int item)
{
	return (uint64_t)round * (uint64_t)trainer->o->batch + (uint64_t)item;
}

/* Voxels to be ignored leave the target and go to a list of their own. */
void vt_train_split_ignored(struct vt_trainer *trainer, size_t patches)
{
	for (size_t v = 0; trainer->ignored && v < patches * trainer->voxels; v++) {
		trainer->ignored[v] = trainer->target[v] == VT_PATCH_IGNORED;
		if (trainer->ignored[v])
			trainer->target[v] = 0;
	}
}

/* Batch `round` of step `step`: a function of these two alone, whoever draws it. */
static void draw_batch(const struct vt_trainer *trainer, uint64_t step, int round, float *images,
	uint8_t *targets)
{
	struct vt_draw_opts draw = vt_train_draw_opts(trainer);
	const struct vt_dataset *d = trainer->n_cohorts
		? trainer->cohort[vt_train_cohort_of(trainer, step)].d
		: trainer->d;

	for (int b = 0; b < trainer->o->batch; b++) {
		uint64_t slot = slot_of(trainer, round, b);
		const struct vt_patch_file *f = &d->file[subject_of(trainer, step, slot)];
		float *image = images + (size_t)b * (size_t)trainer->channels * trainer->voxels;
		uint8_t *target = targets + (size_t)b * trainer->voxels;

		if (trainer->o->augment)
			vt_augment_draw(trainer->o->augment, f, &draw, step, slot, image, target,
				NULL);
		else
			vt_dataset_draw(f, &draw, step, slot, image, target);
	}
	for (int b = 0; trainer->class_of && b < trainer->o->batch; b++)
		targets[b] =
			(uint8_t)trainer
				->class_of[subject_of(trainer, step, slot_of(trainer, round, b))];
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
static void begin_ahead(struct vt_trainer *trainer, int round)
{
	struct vt_train_ahead *a = trainer->ahead;
	bool last = round + 1 == trainer->o->accumulate;

	a->step = trainer->step + last;
	a->round = last ? 0 : round + 1;
	/* a thread that cannot be started is done without */
	a->drawing = a->step < trainer->o->last &&
		!pthread_create(&a->thread, NULL, draw_ahead, trainer);
}

/* Takes what was drawn ahead, if it is this batch. */
static bool take_ahead(struct vt_trainer *trainer, int round)
{
	struct vt_train_ahead *a = trainer->ahead;
	float *image = trainer->image;
	uint8_t *target = trainer->target;

	if (!a || !a->drawing)
		return false;
	pthread_join(a->thread, NULL);
	a->drawing = false;
	if (a->step != trainer->step || a->round != round)
		return false;
	trainer->image = a->image;
	trainer->target = a->target;
	a->image = image;
	a->target = target;
	return true;
}

static void draw_here(struct vt_trainer *trainer, int round)
{
	const struct vt_manifest *m =
		trainer->n_cohorts ? trainer->cohort[trainer->turn].manifest : trainer->manifest;

	if (!take_ahead(trainer, round))
		draw_batch(trainer, trainer->step, round, trainer->image, trainer->target);
	if (trainer->ahead)
		begin_ahead(trainer, round);
	vt_train_see_patches(trainer);
	vt_train_split_ignored(trainer, (size_t)trainer->o->batch);
	if (trainer->o->loss.softmax && !trainer->class_of && !m->exclusive)
		vt_loss_classes(trainer->target, trainer->target,
			(size_t)trainer->o->batch * trainer->voxels);
}

/* From the volumes that lie there; false where one does not. */
static bool draw_there(struct vt_trainer *trainer, struct vt_remote *remote, int round)
{
	struct vt_draw_opts o = vt_train_draw_opts(trainer);

	for (int b = 0; b < trainer->o->batch; b++) {
		uint64_t slot = slot_of(trainer, round, b);
		size_t i = subject_of(trainer, trainer->step, slot);
		const struct vt_patch_file *f = &trainer->d->file[i];
		struct vt_patch_ref p;

		if (!vt_remote_keep(remote, b, (int)i,
			    &(struct vt_volume_ref){ f->image, f->half, f->regions, f->c, f->d,
				    f->h, f->w }))
			return false;
		vt_dataset_choose(&p, f, &o, trainer->step, slot);
		p.classes = trainer->o->loss.softmax && !f->exclusive;
		vt_remote_draw(remote, b, (int)i, &p);
	}
	return true;
}

void vt_train_batch_draw(struct vt_trainer *trainer, int round)
{
	struct vt_remote *r = vt_session_remote(trainer->session);

	if (r && !trainer->o->augment && draw_there(trainer, r, round)) {
		trainer->watched = false;
		return;
	}
	draw_here(trainer, round);
	vt_session_set_input(trainer->session, trainer->image);
	if (r)
		vt_remote_set_target(r, trainer->target);
}
