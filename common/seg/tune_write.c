/* tune_write.c - what was found, as a recipe and as tables. */
#include "common/base/text_out.h"
#include "common/seg/tune.h"

struct vt_json *vt_tuned_recipe(const struct vt_json *base, const struct vt_tuned *tuned,
	const struct vt_segmenter *segmenter)
{
	const struct vt_manifest *m = segmenter->first->manifest;
	struct vt_json *recipe = vt_json_copy(base),
		       *params = vt_json_copy(vt_json_get(base, "params")),
		       *threshold = vt_json_new(VT_JSON_OBJECT),
		       *least = vt_json_new(VT_JSON_OBJECT);

	for (int r = 0; r < m->n_regions; r++) {
		vt_json_put_real(threshold, m->region[r].name, tuned->best.threshold[r]);
		vt_json_put_real(least, m->region[r].name, tuned->best.least_mm3[r]);
	}
	vt_json_put(params, "min-component", least);
	if (segmenter->first->softmax)
		vt_json_free(threshold);
	else
		vt_json_put(params, "threshold", threshold);
	vt_json_put(recipe, "params", params);
	return recipe;
}

/* Dice of the pair (0.5, 0). */
static double plain_dice(const struct vt_tuned *tuned, int r)
{
	int at = 0;

	while (tuned->grid.threshold[at] != 0.5)
		at++;
	return tuned->region[r].dice[at * tuned->grid.n_sizes];
}

struct vt_json *vt_tuned_json(const struct vt_tuned *tuned, const struct vt_segmenter *segmenter)
{
	const struct vt_manifest *m = segmenter->first->manifest;
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT), *all = vt_json_new(VT_JSON_OBJECT);

	for (int r = 0; r < m->n_regions; r++) {
		const struct vt_tuned_region *one = &tuned->region[r];
		struct vt_json *k = vt_json_new(VT_JSON_OBJECT);

		vt_json_put_real(k, "threshold", tuned->grid.threshold[one->threshold]);
		vt_json_put_real(k, "min_component_mm3", tuned->grid.least_mm3[one->size]);
		vt_json_put_real(k, "dice",
			one->dice[one->threshold * tuned->grid.n_sizes + one->size]);
		vt_json_put_real(k, "dice_plain", plain_dice(tuned, r));
		vt_json_put_bool(k, "kept", one->kept);
		if (!one->kept)
			vt_json_put_text(k, "recipe",
				"threshold 0.5, min_component_mm3 0: the label maps gain nothing "
				"by this pair");
		vt_json_put_real(k, "label_map_dice", tuned->after[r]);
		vt_json_put_real(k, "label_map_dice_plain", tuned->before[r]);
		vt_json_put(all, m->region[r].name, k);
	}
	vt_json_put_int(j, "format", 1);
	vt_json_put(j, "regions", all);
	vt_json_put(j, "subjects", vt_json_new_texts(&tuned->subjects));
	vt_json_put(j, "absent", vt_json_new_texts(&tuned->absent));
	return j;
}

void vt_tuned_csv(struct vt_buf *out, const struct vt_tuned *tuned,
	const struct vt_segmenter *segmenter)
{
	const struct vt_manifest *m = segmenter->first->manifest;
	const struct vt_tune_grid *g = &tuned->grid;

	vt_buf_str(out, "region,threshold,min_component_mm3,dice\n");
	for (int r = 0; r < m->n_regions; r++)
		for (int k = 0; k < g->n_thresholds * g->n_sizes; k++) {
			const double cell[3] = { g->threshold[k / g->n_sizes],
				g->least_mm3[k % g->n_sizes], tuned->region[r].dice[k] };

			vt_csv_text(out, m->region[r].name);
			for (int c = 0; c < 3; c++) {
				char text[32];

				vt_json_real_text(text, cell[c]);
				vt_buf_printf(out, ",%s", text);
			}
			vt_buf_char(out, '\n');
		}
}
