/* train_worth.c - what a training cannot learn, said as soon as it is known: regions that no
 * subject has, regions that no patch held, weights that are all frozen, a prediction that has no
 * loss, and weights that learned nothing. What can never be right is refused; what may be right (a
 * small cohort, a short run) is a warning. Regions are looked for until each was seen once, so that
 * a usual cohort costs nothing. */
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/seg/evaluator.h"
#include "common/seg/train_state.h"

/* Marks what a voxel of these bits (patch_file.h) holds; the number of all that are marked then. */
static int mark(bool *seen, int marked, uint8_t bits, bool exclusive, int n)
{
	int from = exclusive ? bits - 1 : 0, end = exclusive && bits < n ? bits : n;

	for (int r = from; r >= 0 && r < end; r++)
		if (!seen[r] && (exclusive || bits >> r & 1)) {
			seen[r] = true;
			marked++;
		}
	return marked;
}

static int mark_regions(bool *seen, int marked, const struct vt_patch_file *file)
{
	for (size_t i = 0; i < file->n_foreground && marked < file->n_regions; i++)
		marked = mark(seen, marked, file->regions[file->foreground[i]], file->exclusive,
			file->n_regions);
	return marked;
}

/* The names of regions that are not marked, parted by commas; owned by the caller. */
static char *unmarked(const struct vt_manifest *manifest, const bool *seen, const bool *told)
{
	struct vt_buf names = VT_BUF_INIT;

	for (int r = 0; r < manifest->n_regions; r++)
		if (!seen[r] && !(told && told[r]))
			vt_buf_printf(&names, "%s%s", names.len ? ", " : "",
				manifest->region[r].name);
	return vt_buf_detach(&names);
}

static int check_regions_of(bool *seen, const struct vt_dataset *dataset, const size_t *train,
	size_t n, const struct vt_manifest *manifest, struct vt_err *err)
{
	int marked = 0;
	char *names;

	for (size_t i = 0; i < n && marked < manifest->n_regions; i++)
		marked = mark_regions(seen, marked, &dataset->file[train[i]]);
	if (marked == manifest->n_regions)
		return 0;
	names = unmarked(manifest, seen, NULL);
	if (!marked)
		vt_err_set(err, VT_EDATA,
			"none of the %zu subjects to train on has a voxel of a region (%s): there "
			"is nothing to learn; check the values of the regions of manifest %s "
			"against those of the label maps, and the box of crop-patch",
			n, names, manifest->name);
	else
		vt_log(VT_LOG_WARN, "absent-region",
			"regions=\"%s\" cohort=\"%s\" subjects=%zu note=\"no subject to train on "
			"has a voxel of these: they will not be learned. Check the values that "
			"the manifest gives them against those of the label maps\"",
			names, manifest->name, n);
	free(names);
	return marked ? 0 : err->code;
}

int vt_train_check_worth(struct vt_trainer *trainer, struct vt_err *err)
{
	bool seen[VT_MAX_REGIONS] = { false };

	if (trainer->class_of)
		return 0;
	if (check_regions_of(trainer->region_seen, trainer->d, trainer->train, trainer->n_train,
		    trainer->manifest, err))
		return err->code;
	/* what is told here is neither waited for nor told again when no patch has it */
	for (int r = 0; r < trainer->manifest->n_regions; r++) {
		trainer->region_absent[r] = !trainer->region_seen[r];
		trainer->n_region_seen += trainer->region_absent[r];
	}
	memset(trainer->region_seen, 0, sizeof(trainer->region_seen));
	for (int k = 1; k < trainer->n_cohorts; k++) {
		const struct vt_train_cohort *c = &trainer->cohort[k];

		memset(seen, 0, sizeof(seen));
		if (check_regions_of(seen, c->d, c->train, c->n_train, c->manifest, err))
			return err->code;
	}
	return 0;
}

int vt_train_check_moves(const struct vt_trainer *trainer, struct vt_err *err)
{
	if (vt_graph_output_at(trainer->graph, 0).weight == 0)
		return vt_err_set(err, VT_EUSAGE,
			"--output-weights: output 0 is the prediction, and with a weight of 0 it "
			"would not be trained");
	for (int i = 0; i < vt_session_n_weights(trainer->session); i++)
		if (vt_train_rate_factor(trainer, i) > 0)
			return 0;
	return vt_err_set(err, VT_EUSAGE,
		"--pretrained-rate-factor=0 freezes every weight, for --reinitialize names none of "
		"them: nothing but running statistics would change; name the part that is to be "
		"learned afresh, such as the head");
}

void vt_train_see_patches(struct vt_trainer *trainer)
{
	const int n = trainer->manifest->n_regions;
	size_t voxels = trainer->voxels * (size_t)trainer->o->batch;

	if (trainer->class_of || trainer->turn || trainer->n_region_seen == n)
		return;
	for (size_t v = 0; v < voxels && trainer->n_region_seen < n; v++)
		if (trainer->target[v])
			trainer->n_region_seen = mark(trainer->region_seen, trainer->n_region_seen,
				trainer->target[v], trainer->manifest->exclusive, n);
}

void vt_train_warn_unseen(const struct vt_trainer *trainer)
{
	char *names;

	if (trainer->class_of || !trainer->watched)
		return;
	names = unmarked(trainer->manifest, trainer->region_seen, trainer->region_absent);
	if (*names)
		vt_log(VT_LOG_WARN, "region-in-no-patch",
			"regions=\"%s\" step=%llu note=\"no patch so far held a voxel of these, so "
			"nothing was learned about them: give --foreground above 0, --center "
			"region or a larger --patch\"",
			names, (unsigned long long)trainer->step);
	free(names);
}

/* Mean Dice, as validation scores it, of n subjects whose voxels all have these bits. */
static double dice_of_constant(const struct vt_trainer *trainer, size_t n, int bits)
{
	const int n_regions = trainer->manifest->n_regions;
	double dice[VT_MAX_REGIONS] = { 0 }, sum = 0;
	struct vt_err err = VT_ERR_INIT;

	for (size_t i = 0; i < n; i++) {
		const struct vt_patch_file *file = &trainer->d->file[trainer->validation[i]];
		size_t voxels = (size_t)file->d * (size_t)file->h * (size_t)file->w;
		uint8_t *answer = vt_xmalloc(voxels);
		int rc;

		memset(answer, bits, voxels);
		rc = vt_score_container(dice, trainer->manifest, file, answer, &err);
		free(answer);
		if (rc)
			return 0;
	}
	for (int r = 0; r < n_regions; r++)
		sum += dice[r] / (double)n / n_regions;
	return sum;
}

void vt_train_warn_nothing(const struct vt_trainer *trainer)
{
	size_t n = trainer->n_validation;
	double least, all = 0;

	if (trainer->class_of || !n)
		return;
	if (trainer->o->max_validation > 0 && n > (size_t)trainer->o->max_validation)
		n = (size_t)trainer->o->max_validation;
	least = dice_of_constant(trainer, n, 0);
	if (least >= 1) {
		vt_log(VT_LOG_WARN, "empty-validation",
			"subjects=%zu note=\"the validation subjects that are scored have no "
			"voxel of a region, so an answer without any is right for all of them and "
			"the best weights were chosen by that: give another --fold or a larger "
			"--max-validation\"",
			n);
		return;
	}
	if (!trainer->manifest->exclusive)
		all = dice_of_constant(trainer, n, (1 << trainer->manifest->n_regions) - 1);
	least = all > least ? all : least;
	if (trainer->best_dice > least + 0.05 * least * (1 - least))
		return;
	vt_log(VT_LOG_WARN, "nothing-learned",
		"dice=%.4f subjects=%zu note=\"on the validation subjects the kept weights are no "
		"better than no answer at all, or one that marks every voxel (%.4f): train "
		"longer, or with another --learning-rate or loss\"",
		trainer->best_dice, n, least);
}
