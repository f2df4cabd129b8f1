#include "common/seg/report.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/text_out.h"
#include "common/image/picture.h"
#include "common/seg/report_pictures.h"

static const char style[] =
	"body{font:15px/1.5 system-ui,sans-serif;color:#1c2430;max-width:64rem;margin:2rem "
	"auto;padding:0 1rem}"
	"h1{font-size:1.6rem;margin:0}"
	"h2{font-size:1.15rem;margin:2.2rem 0 .6rem;border-bottom:1px solid "
	"#d8dde5;padding-bottom:.2rem}"
	"table{border-collapse:collapse;font-variant-numeric:tabular-nums}"
	"th,td{padding:.3rem .8rem;text-align:right;border-bottom:1px solid #e6e9ef}"
	"th:first-child,td:first-child{text-align:left}thead "
	"th{color:#5a6678;font-weight:600}.mark{color:#a33}"
	"code{font-size:.85em;color:#44506a;word-break:break-all}"
	".cards{display:flex;gap:1rem;flex-wrap:wrap;margin:1.2rem 0}"
	".card{border:1px solid #d8dde5;border-radius:8px;padding:.8rem 1.2rem;min-width:9rem}"
	".card b{display:block;font-size:1.8rem}small{color:#7b8798;margin-left:.3em}"
	"figure{margin:0 0 1.4rem;page-break-inside:avoid}figcaption{color:#5a6678;font-size:.9em}"
	"img{max-width:100%;image-rendering:pixelated;border-radius:4px}"
	".key span{display:inline-block;width:.8em;height:.8em;margin:0 .3em 0 "
	"1em;border-radius:2px}";

/* --- curve --------------------------------------------------------------- */

/* Column `col` of a CSV as an SVG polyline; values are clamped to 0..1. */
static void polyline(struct vt_buf *out, const char *csv, int col, double last_step,
	const char *color)
{
	const char *line = strchr(csv, '\n');

	vt_html_say(out, "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"2\" points=\"",
		color);
	for (; line && line[1]; line = strchr(line + 1, '\n')) {
		const char *p = line + 1;
		double step = strtod(p, NULL), v;

		for (int k = 0; k < col && p; k++) {
			p = strchr(p, ',');
			p = p ? p + 1 : NULL;
		}
		if (!p || *p == ',' || *p == '\n' || !*p)
			continue;
		v = strtod(p, NULL);
		if (v < 0)
			v = 0;
		else if (v > 1)
			v = 1;
		vt_html_say(out, "%.1f,%.1f ", 46 + 640 * step / last_step, 216 - 200 * v);
	}
	vt_buf_str(out, "\"/>");
}

static void curve(struct vt_buf *out, const struct vt_evaluation *evaluation, const char *history)
{
	double last =
		(double)vt_json_integer(vt_json_get(evaluation->segmenter->first->json, "steps"),
			1);

	vt_buf_str(out,
		"<h2>Training</h2><svg viewBox=\"0 0 700 250\" role=\"img\" aria-label=\"loss and "
		"validation Dice by step\" style=\"max-width:100%\" font-size=\"11\" "
		"fill=\"#5a6678\">");
	for (int k = 0; k <= 5; k++)
		vt_html_say(out,
			"<line x1=\"46\" x2=\"686\" y1=\"%d\" y2=\"%d\" stroke=\"#e6e9ef\"/><text "
			"x=\"18\" y=\"%d\">%.1f</text>",
			216 - 40 * k, 216 - 40 * k, 220 - 40 * k, 0.2 * k);
	polyline(out, history, 1, last, "#1c2430");
	for (int r = 0; r < evaluation->manifest->n_regions; r++) {
		unsigned char c[3];
		char color[8];

		vt_picture_color((unsigned)r + 1, c);
		snprintf(color, sizeof(color), "#%02x%02x%02x", c[0], c[1], c[2]);
		polyline(out, history, 2 + r, last, color);
	}
	vt_html_say(out,
		"<text x=\"46\" y=\"236\">0</text><text x=\"640\" y=\"236\">%.0f steps</text></svg>"
		"<p>Black: training loss. Colors: validation Dice of each region.</p>\n",
		last);
}

/* --- tables -------------------------------------------------------------- */

/* Opens a cell; a dash where the number is not defined. */
static void put_number(struct vt_buf *out, double v)
{
	if (isnan(v))
		vt_buf_str(out, "<td>\xe2\x80\x93");
	else
		vt_html_say(out, "<td>%.4g", v);
}

static size_t counted(const struct vt_evaluation *evaluation)
{
	return evaluation->n - (evaluation->leave_absent ? evaluation->n_absent : 0);
}

static double mean(const struct vt_evaluation *evaluation, int r, enum vt_score k)
{
	return evaluation->summary[r][k].mean;
}

static void cards(struct vt_buf *out, const struct vt_evaluation *evaluation)
{
	vt_buf_str(out, "<div class=\"cards\">");
	for (int r = 0; r < evaluation->manifest->n_regions; r++) {
		const struct vt_summary *s = &evaluation->summary[r][VT_DICE];

		vt_html_say(out, "<div class=\"card\">%s Dice<b>%.3f</b>",
			vt_evaluation_region(evaluation, r), s->mean);
		if (evaluation->draws)
			vt_html_say(out, "95 %% interval %.3f to %.3f<br>", s->ci.low, s->ci.high);
		if (!isnan(mean(evaluation, r, VT_BASELINE)))
			vt_html_say(out, "single threshold %.3f", mean(evaluation, r, VT_BASELINE));
		vt_buf_str(out, "</div>");
	}
	vt_buf_str(out, "</div>");
}

/* One row a metric, one column a region: mean, then the interval in small print. */
static void metrics_table(struct vt_buf *out, const struct vt_evaluation *evaluation,
	const char *title, const enum vt_score *list, size_t n)
{
	vt_html_say(out, "<h2>%s</h2><table><thead><tr><th>mean over %zu</th>", title,
		counted(evaluation));
	for (int r = 0; r < evaluation->manifest->n_regions; r++)
		vt_html_say(out, "<th>%s</th>", vt_evaluation_region(evaluation, r));
	vt_buf_str(out, "</tr></thead><tbody>\n");
	for (size_t i = 0; i < n; i++) {
		vt_html_say(out, "<tr><td>%s</td>", vt_score_name(list[i]));
		for (int r = 0; r < evaluation->manifest->n_regions; r++) {
			const struct vt_summary *s = &evaluation->summary[r][list[i]];

			put_number(out, s->mean);
			if (s->n != counted(evaluation))
				vt_html_say(out, " <small>n = %zu</small>", s->n);
			if (evaluation->draws && s->n)
				vt_html_say(out, " <small>%.4g to %.4g</small>", s->ci.low,
					s->ci.high);
			vt_buf_str(out, "</td>");
		}
		vt_buf_str(out, "</tr>\n");
	}
	vt_buf_str(out, "</tbody></table>\n");
}

static void unreferenced_list(struct vt_buf *out, const struct vt_evaluation *evaluation)
{
	size_t n = vt_json_length(evaluation->unreferenced);

	if (!n)
		return;
	vt_html_say(out, "<h2>Without reference</h2><p>%zu label maps are not scored:</p><ul>\n",
		n);
	for (size_t i = 0; i < n; i++) {
		vt_buf_str(out, "<li>");
		vt_html_text(out, vt_json_text(evaluation->unreferenced->item[i], ""));
		vt_buf_str(out, "</li>\n");
	}
	vt_buf_str(out, "</ul>\n");
}

static void absent_list(struct vt_buf *out, const struct vt_evaluation *evaluation)
{
	unreferenced_list(out, evaluation);
	if (!evaluation->n_absent)
		return;
	vt_html_say(out, "<h2>Absent</h2><p>%zu of %zu subjects have no label map and %s</p><ul>\n",
		evaluation->n_absent, evaluation->n,
		evaluation->leave_absent ? "are left out of the means:"
					 : "count with Dice 0 and the penalty:");
	for (size_t i = 0; i < evaluation->n; i++)
		if (evaluation->subject[i].absent) {
			vt_buf_str(out, "<li>");
			vt_html_text(out, evaluation->subject[i].subject);
			vt_buf_str(out, ": ");
			vt_html_text(out, evaluation->subject[i].absent);
			vt_buf_str(out, "</li>\n");
		}
	vt_buf_str(out, "</ul>\n");
}

static void fold_cells(struct vt_buf *out, const struct vt_evaluation *evaluation, size_t member,
	bool over)
{
	static const enum vt_score list[] = { VT_DICE, VT_HD95, VT_LESION_DICE };

	for (int r = 0; r < evaluation->manifest->n_regions; r++)
		for (size_t k = 0; k < sizeof(list) / sizeof(list[0]); k++) {
			struct vt_summary s = over
				? vt_evaluation_over_folds(evaluation, r, list[k])
				: vt_evaluation_of_fold(evaluation, member, r, list[k]);

			put_number(out, s.mean);
			if (!isnan(s.sd))
				vt_html_say(out, " <small>%.4g</small>", s.sd);
			vt_buf_str(out, "</td>");
		}
	vt_buf_str(out, "</tr>\n");
}

/* Each fold's network on the subjects that the fold kept out. */
static void folds_table(struct vt_buf *out, const struct vt_evaluation *evaluation)
{
	static const char *const what[] = { "Dice", "HD95 mm", "lesion Dice" };

	vt_buf_str(out,
		"<h2>Cross-validation</h2><table><thead><tr><th>fold</th><th>subjects</th>");
	for (int r = 0; r < evaluation->manifest->n_regions; r++)
		for (int k = 0; k < 3; k++)
			vt_html_say(out, "<th>%s %s</th>", vt_evaluation_region(evaluation, r),
				what[k]);
	vt_buf_str(out, "</tr></thead><tbody>\n");
	for (size_t m = 0; m < evaluation->segmenter->n; m++) {
		const char *dir = evaluation->segmenter->member[m].dir, *slash = strrchr(dir, '/');

		vt_buf_str(out, "<tr><td>");
		vt_html_text(out, slash ? slash + 1 : dir);
		vt_html_say(out, "</td><td>%zu</td>",
			vt_evaluation_of_fold(evaluation, m, 0, VT_DICE).n);
		fold_cells(out, evaluation, m, false);
	}
	vt_html_say(out, "<tr><td><b>over folds</b></td><td>%zu</td>", counted(evaluation));
	fold_cells(out, evaluation, 0, true);
	vt_buf_str(out,
		"</tbody></table><p>Mean, and in small print the standard deviation (n - 1): of a "
		"fold over its subjects, in the last row over the folds' means.</p>\n");
}

static void empty_table(struct vt_buf *out, const struct vt_evaluation *evaluation)
{
	vt_buf_str(out,
		"<h2>Empty masks</h2><table><thead><tr><th>region</th><th>subjects</th><th>both "
		"empty</th><th>missed</th><th>false alarm</th><th>absent</th><th>HD95 mm, "
		"all</th><th>HD95 mm, where both exist</th></tr></thead><tbody>\n");
	for (int r = 0; r < evaluation->manifest->n_regions; r++) {
		vt_html_say(out,
			"<tr><td>%s</td><td>%zu</td><td>%zu</td><td>%zu</td><td>%zu</td>"
			"<td>%zu</td><td>%.2f</td>",
			vt_evaluation_region(evaluation, r), evaluation->n,
			vt_evaluation_count(evaluation, r, VT_BOTH_EMPTY),
			vt_evaluation_count(evaluation, r, VT_MISSED),
			vt_evaluation_count(evaluation, r, VT_FALSE_ALARM),
			vt_evaluation_count(evaluation, r, VT_ABSENT),
			mean(evaluation, r, VT_HD95));
		if (evaluation->n_found[r])
			vt_html_say(out, "<td>%.2f (n = %zu)</td></tr>\n",
				evaluation->summary[r][VT_HD95].found_mean, evaluation->n_found[r]);
		else
			vt_buf_str(out, "<td>none</td></tr>\n");
	}
	vt_buf_str(out,
		"</tbody></table><p>Both empty: Dice 1, distances 0. Missed, false alarm or "
		"absent: Dice 0, distances are the penalty (the grid's diagonal unless given). A "
		"ratio that is not defined, such as the sensitivity of an empty reference, is left "
		"out of that mean alone.</p>\n");
	absent_list(out, evaluation);
}

static void lesions_table(struct vt_buf *out, const struct vt_evaluation *evaluation)
{
	vt_buf_str(out,
		"<h2>Lesion by lesion</h2><table><thead><tr><th>region</th><th>Dice</th><th>HD95 "
		"mm</th><th>found</th><th>missed</th>"
		"<th>false</th><th>too small to score</th></tr></thead><tbody>\n");
	for (int r = 0; r < evaluation->manifest->n_regions; r++) {
		struct vt_lesions sum = { .n = 0 };

		for (size_t i = 0; i < evaluation->n; i++) {
			const struct vt_lesions *l = &evaluation->subject[i].region[r].lesions;

			sum.found += l->found;
			sum.missed += l->missed;
			sum.false_alarms += l->false_alarms;
			sum.small += l->small;
		}
		vt_html_say(out,
			"<tr><td>%s</td><td>%.4f</td><td>%.2f</td><td>%llu</td><td>%llu</"
			"td><td>%llu</td><td>%llu</td>"
			"</tr>\n",
			vt_evaluation_region(evaluation, r), mean(evaluation, r, VT_LESION_DICE),
			mean(evaluation, r, VT_LESION_HD95), (unsigned long long)sum.found,
			(unsigned long long)sum.missed, (unsigned long long)sum.false_alarms,
			(unsigned long long)sum.small);
	}
	vt_buf_str(out,
		"</tbody></table><p>Rule of the BraTS 2023 challenges: a missed or false lesion "
		"has Dice 0 and the penalty as distance.</p>\n");
}

static void threshold_table(struct vt_buf *out, const struct vt_evaluation *evaluation)
{
	vt_buf_str(out,
		"<h2>Beside a single "
		"threshold</h2><table><thead><tr><th>region</th><th>channel</th>"
		"<th>threshold</th><th>its Dice</th><th>with an oracle threshold a "
		"subject</th><th>this "
		"network</th></tr></thead><tbody>\n");
	for (int r = 0; r < evaluation->manifest->n_regions; r++)
		vt_html_say(out,
			"<tr><td>%s</td><td>%s</td><td>%.2f</td><td>%.4f</td><td>%.4f</"
			"td><td><b>%.4f</b></td></tr>\n",
			vt_evaluation_region(evaluation, r),
			vt_json_text(vt_json_at(vt_json_get(evaluation->segmenter->first->json,
							"channels"),
					     (size_t)evaluation->channel[r]),
				""),
			isnan(evaluation->threshold[r]) ? 0 : evaluation->threshold[r],
			mean(evaluation, r, VT_BASELINE), mean(evaluation, r, VT_ORACLE),
			mean(evaluation, r, VT_DICE));
	vt_buf_str(out,
		"</tbody></table><p>The threshold is fitted on the training subjects, on the "
		"normalized channel.</p>\n");
}

static void summary(struct vt_buf *out, const struct vt_evaluation *evaluation)
{
	static const enum vt_score overlap[] = { VT_DICE, VT_IOU, VT_SENSITIVITY, VT_SPECIFICITY,
		VT_PRECISION, VT_VOLUME, VT_REFERENCE };
	static const enum vt_score distance[] = { VT_HD95, VT_HD95_POOLED, VT_HD95_SURFEL, VT_HD,
		VT_ASSD, VT_NSD, VT_NSD_SURFEL };

	cards(out, evaluation);
	if (evaluation->by_fold)
		folds_table(out, evaluation);
	metrics_table(out, evaluation, "Overlap", overlap, sizeof(overlap) / sizeof(overlap[0]));
	metrics_table(out, evaluation, "Distance of surfaces", distance,
		sizeof(distance) / sizeof(distance[0]));
	vt_buf_str(out,
		"<p>hd95_mm: 95th percentile of each direction, the larger (MONAI). "
		"hd95_pooled_mm: of both together (medpy). hd95_surfel_mm: weighted by area "
		"(DeepMind surface-distance, BraTS 2023).");
	if (evaluation->draws)
		vt_html_say(out,
			" Small print: 95 %% interval of the mean, percentile bootstrap over "
			"subjects, %u draws.",
			evaluation->draws);
	vt_buf_str(out, "</p>\n");
	empty_table(out, evaluation);
	lesions_table(out, evaluation);
	if (evaluation->segmenter && !isnan(evaluation->threshold[0]))
		threshold_table(out, evaluation);
}

static void subjects(struct vt_buf *out, const struct vt_evaluation *evaluation)
{
	vt_buf_str(out, "<h2>Subjects</h2><table><thead><tr><th>subject</th>");
	for (int r = 0; r < evaluation->manifest->n_regions; r++)
		vt_html_say(out, "<th>%s Dice</th><th>HD95 mm</th><th>ml (reference)</th>",
			vt_evaluation_region(evaluation, r));
	vt_buf_str(out, "</tr></thead><tbody>\n");
	for (size_t i = 0; i < evaluation->n; i++) {
		vt_buf_str(out, "<tr><td>");
		vt_html_text(out, evaluation->subject[i].subject);
		vt_buf_str(out, "</td>");
		for (int r = 0; r < evaluation->manifest->n_regions; r++) {
			const struct vt_region_score *s = &evaluation->subject[i].region[r];

			vt_html_say(out, "<td>%.4f", s->overlap.dice);
			if (s->overlap.empty != VT_NOT_EMPTY)
				vt_html_say(out, " <span class=\"mark\">%s</span>",
					vt_empty_name(s->overlap.empty));
			vt_html_say(out, "</td><td>%.2f</td><td>%.1f (%.1f)</td>", s->surface.hd95,
				s->overlap.volume_ml,
				isnan(s->overlap.reference_ml) ? 0 : s->overlap.reference_ml);
		}
		vt_buf_str(out, "</tr>\n");
	}
	vt_buf_str(out, "</tbody></table>\n");
}

/* What was scored against what, with the trees. */
static void sources(struct vt_buf *out, const struct vt_evaluation *evaluation)
{
	vt_buf_str(out, "<h2>What was scored against what</h2><table><tbody>\n");
	for (size_t i = 0; evaluation->scored && i < evaluation->scored->n; i++) {
		vt_buf_str(out, "<tr><td>");
		vt_html_text(out, evaluation->scored->key[i]);
		vt_buf_str(out, "</td><td><code>");
		vt_html_text(out, vt_json_text(evaluation->scored->item[i], ""));
		vt_buf_str(out, "</code></td></tr>\n");
	}
	vt_buf_str(out,
		"</tbody></table><p>metrics.json holds the digest of every subject's label map and "
		"reference under \"sources\".</p>\n");
}

static void identity(struct vt_buf *out, const struct vt_evaluation *evaluation)
{
	const struct vt_checkpoint *c = evaluation->segmenter->first;
	const struct vt_json *train = vt_json_pointer(c->json, "/subjects/train");

	vt_html_say(out,
		"<h2>What this is</h2><p>%s, %lld parameters, patch %d, seed %lld, trained on %zu "
		"subjects of manifest <b>",
		c->model,
		(long long)vt_json_integer(vt_json_pointer(c->json, "/model/parameters"), 0),
		c->patch[0], (long long)vt_json_integer(vt_json_get(c->json, "seed"), 0),
		train ? train->n : 0);
	vt_html_text(out, c->manifest->name);
	vt_buf_str(out, "</b>, channels ");
	for (int k = 0; k < c->n_channels; k++) {
		vt_buf_str(out, k ? ", " : "");
		vt_html_text(out,
			vt_json_text(vt_json_at(vt_json_get(c->json, "channels"), (size_t)k), ""));
	}
	vt_buf_str(out,
		".<br>Ask what it was made from: <code>voxtrail audit</code> on the checkpoint "
		"directory.</p>\n");
}

/* Who was scored, in words. */
static void heading(struct vt_buf *out, const struct vt_evaluation *evaluation)
{
	size_t seen = 0;

	for (size_t i = 0; i < evaluation->n; i++)
		seen += evaluation->subject[i].role &&
			!strcmp(evaluation->subject[i].role, "train");
	vt_html_text(out, evaluation->manifest->name);
	vt_html_say(out, ", %zu subject%s", evaluation->n, evaluation->n == 1 ? "" : "s");
	if (evaluation->by_fold)
		vt_buf_str(out, ", each scored by the network whose fold kept it out.</p>\n");
	else if (!evaluation->segmenter)
		vt_buf_str(out, ": label maps beside the reference.</p>\n");
	else if (seen)
		vt_html_say(out, ", <span class=\"mark\">%zu of them trained on</span>.</p>\n",
			seen);
	else
		vt_buf_str(out, " kept out of training.</p>\n");
}

int vt_report_html(struct vt_buf *out, const struct vt_evaluation *evaluation, const char *history,
	struct vt_err *err)
{
	int rc;

	vt_html_begin(out, "Voxtrail evaluation", style);
	vt_buf_str(out, "<h1>Segmentation report</h1><p>");
	heading(out, evaluation);
	summary(out, evaluation);
	rc = vt_report_pictures(out, evaluation, err);
	subjects(out, evaluation);
	if (evaluation->segmenter && *history)
		curve(out, evaluation, history);
	sources(out, evaluation);
	if (evaluation->segmenter)
		identity(out, evaluation);
	vt_buf_str(out, "</body></html>\n");
	return rc;
}
