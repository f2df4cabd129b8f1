#include "common/seg/report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/base64.h"
#include "common/image/picture.h"

enum { MAX_PICTURES = 8 };

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

static void escape(struct vt_buf *out, const char *s)
{
	for (; *s; s++) {
		if (*s == '<' || *s == '>' || *s == '&' || *s == '"')
			vt_buf_printf(out, "&#%d;", *s);
		else
			vt_buf_char(out, *s);
	}
}

/* --- pictures ------------------------------------------------------------ */

/* Axial slice with the most reference (else predicted) voxels. */
static int busiest_slice(const struct vt_subject_score *s)
{
	const struct vt_patch_file *f = s->file;
	size_t plane = (size_t)f->h * (size_t)f->w, most = 0;
	int best = f->d / 2;

	for (int z = 0; z < f->d; z++) {
		size_t n = 0;

		for (size_t i = 0; i < plane; i++)
			n += 2 * (f->regions[(size_t)z * plane + i] != 0) +
				(s->bits[(size_t)z * plane + i] != 0);
		if (n > most) {
			most = n;
			best = z;
		}
	}
	return best;
}

/* How many regions a voxel is in: 1 whole tumor, 2 core, 3 enhancing, where regions are nested. */
static unsigned char *depth_map(const uint8_t *bits, size_t n)
{
	unsigned char *map = vt_xmalloc(n);

	for (size_t i = 0; i < n; i++)
		map[i] = (unsigned char)__builtin_popcount(bits[i]);
	return map;
}

static float *channel_of(const struct vt_patch_file *f, int c)
{
	float *v = vt_xmalloc((size_t)f->d * (size_t)f->h * (size_t)f->w * sizeof(*v));

	for (int z = 0; z < f->d; z++)
		for (int y = 0; y < f->h; y++)
			vt_patch_row(v + ((size_t)z * (size_t)f->h + (size_t)y) * (size_t)f->w, f,
				c, z, y, 0, f->w);
	return v;
}

static int channel_named(const struct vt_patch_file *f, const char *a, const char *b, int otherwise)
{
	const struct vt_json *channels = vt_json_get(f->header, "channels");

	for (size_t i = 0; channels && i < channels->n; i++)
		if (!strcmp(vt_json_text(channels->item[i], ""), a) ||
			!strcmp(vt_json_text(channels->item[i], ""), b))
			return (int)i;
	return otherwise;
}

/* Four panels: fluid and contrast channel plain, reference, prediction. */
static int draw_panels(struct vt_picture *p, const struct vt_subject_score *s, struct vt_err *err)
{
	const struct vt_patch_file *f = s->file;
	size_t n = (size_t)f->d * (size_t)f->h * (size_t)f->w, w, h;
	size_t dim[3] = { (size_t)f->w, (size_t)f->h, (size_t)f->d };
	double spacing[3];
	unsigned char *truth = depth_map(f->regions, n), *found = depth_map(s->bits, n);
	float *fluid = channel_of(f, channel_named(f, "flair", "t2f", 0)),
	      *contrast = channel_of(f, channel_named(f, "t1ce", "t1c", f->c - 1));
	struct vt_geometry g;
	struct vt_slice_view view;
	int rc;

	for (size_t a = 0; a < 3; a++)
		spacing[a] =
			vt_json_number(vt_json_at(vt_json_get(f->header, "spacing_mm"), 2 - a), 1);
	vt_geometry_init(&g, dim, spacing);
	view = (struct vt_slice_view){ .geometry = &g,
		.voxels = fluid,
		.plane = VT_PLANE_AXIAL,
		.at = (size_t)busiest_slice(s),
		.low = -2,
		.high = 4,
		.mm = spacing[0] > 1.5 ? spacing[0] / 2.5 : spacing[0],
		.opacity = 0.55 };
	vt_slice_size(&view, &w, &h);
	rc = vt_picture_new(p, 4 * w + 12, h, err);
	for (unsigned i = 0; !rc && i < 4; i++) {
		view.voxels = i == 1 ? contrast : fluid;
		view.labels = i == 2 ? truth : i == 3 ? found : NULL;
		vt_picture_slice(p, i * (w + 4), 0, &view);
	}
	free(truth);
	free(found);
	free(fluid);
	free(contrast);
	return rc;
}

static int figure(struct vt_buf *out, const struct vt_evaluation *e, size_t i, struct vt_err *err)
{
	const struct vt_subject_score *s = &e->subject[i];
	struct vt_picture p;
	struct vt_buf png = VT_BUF_INIT;
	int rc = draw_panels(&p, s, err);

	if (rc)
		return rc;
	rc = vt_picture_png(&png, &p, err);
	if (!rc) {
		vt_buf_str(out,
			"<figure><img alt=\"segmentation overlay\" src=\"data:image/png;base64,");
		vt_base64(out, png.data, png.len);
		vt_buf_str(out, "\"><figcaption><b>");
		escape(out, s->file->subject);
		vt_buf_str(out, "</b>: ");
		for (int r = 0; r < e->checkpoint->n_regions; r++)
			vt_buf_printf(out, "%s%s %.3f", r ? ", " : "Dice ",
				vt_evaluation_region(e, r), s->region[r].overlap.dice);
		vt_buf_str(out, "</figcaption></figure>\n");
	}
	vt_buf_release(&png);
	vt_picture_release(&p);
	return rc;
}

static int pictures(struct vt_buf *out, const struct vt_evaluation *e, struct vt_err *err)
{
	int rc = 0;

	vt_buf_str(out,
		"<h2>Overlays</h2><p class=\"key\">Left to right: fluid-attenuated, "
		"contrast-enhanced, "
		"reference, prediction. Depth of region:");
	for (int r = 0; r < e->checkpoint->n_regions; r++) {
		unsigned char c[3];

		vt_picture_color((unsigned)r + 1, c);
		vt_buf_printf(out, "<span style=\"background:#%02x%02x%02x\"></span>%s", c[0], c[1],
			c[2], vt_evaluation_region(e, r));
	}
	vt_buf_str(out, "</p>\n");
	for (size_t i = 0; !rc && i < e->n && i < MAX_PICTURES; i++)
		rc = figure(out, e, i, err);
	return rc;
}

/* --- curve --------------------------------------------------------------- */

/* Column `col` of a CSV as an SVG polyline; values are clamped to 0..1. */
static void polyline(struct vt_buf *out, const char *csv, int col, double last_step,
	const char *color)
{
	const char *line = strchr(csv, '\n');

	vt_buf_printf(out, "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"2\" points=\"",
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
		v = v < 0 ? 0 : v > 1 ? 1 : v;
		vt_buf_printf(out, "%.1f,%.1f ", 46 + 640 * step / last_step, 216 - 200 * v);
	}
	vt_buf_str(out, "\"/>");
}

static void curve(struct vt_buf *out, const struct vt_evaluation *e, const char *history)
{
	double last = (double)vt_json_integer(vt_json_get(e->checkpoint->json, "steps"), 1);

	vt_buf_str(out,
		"<h2>Training</h2><svg viewBox=\"0 0 700 250\" role=\"img\" aria-label=\"loss and "
		"validation "
		"Dice by step\" "
		"style=\"max-width:100%\" font-size=\"11\" fill=\"#5a6678\">");
	for (int k = 0; k <= 5; k++)
		vt_buf_printf(out,
			"<line x1=\"46\" x2=\"686\" y1=\"%d\" y2=\"%d\" stroke=\"#e6e9ef\"/><text "
			"x=\"18\" "
			"y=\"%d\">%.1f</text>",
			216 - 40 * k, 216 - 40 * k, 220 - 40 * k, 0.2 * k);
	polyline(out, history, 1, last, "#1c2430");
	for (int r = 0; r < e->checkpoint->n_regions; r++) {
		unsigned char c[3];
		char color[8];

		vt_picture_color((unsigned)r + 1, c);
		snprintf(color, sizeof(color), "#%02x%02x%02x", c[0], c[1], c[2]);
		polyline(out, history, 2 + r, last, color);
	}
	vt_buf_printf(out,
		"<text x=\"46\" y=\"236\">0</text><text x=\"640\" y=\"236\">%.0f steps</text></svg>"
		"<p>Black: training loss. Colors: validation Dice of each region.</p>\n",
		last);
}

/* --- tables -------------------------------------------------------------- */

static double mean(const struct vt_evaluation *e, int r, enum vt_score k)
{
	return e->summary[r][k].mean;
}

static void cards(struct vt_buf *out, const struct vt_evaluation *e)
{
	vt_buf_str(out, "<div class=\"cards\">");
	for (int r = 0; r < e->checkpoint->n_regions; r++) {
		const struct vt_summary *s = &e->summary[r][VT_DICE];

		vt_buf_printf(out, "<div class=\"card\">%s Dice<b>%.3f</b>",
			vt_evaluation_region(e, r), s->mean);
		if (e->draws)
			vt_buf_printf(out, "95 %% interval %.3f to %.3f<br>", s->ci.low,
				s->ci.high);
		vt_buf_printf(out, "single threshold %.3f</div>", mean(e, r, VT_BASELINE));
	}
	vt_buf_str(out, "</div>");
}

/* One row a metric, one column a region: mean, then the interval in small print. */
static void metrics_table(struct vt_buf *out, const struct vt_evaluation *e, const char *title,
	const enum vt_score *list, size_t n)
{
	vt_buf_printf(out, "<h2>%s</h2><table><thead><tr><th>mean over %zu</th>", title, e->n);
	for (int r = 0; r < e->checkpoint->n_regions; r++)
		vt_buf_printf(out, "<th>%s</th>", vt_evaluation_region(e, r));
	vt_buf_str(out, "</tr></thead><tbody>\n");
	for (size_t i = 0; i < n; i++) {
		vt_buf_printf(out, "<tr><td>%s</td>", vt_score_name(list[i]));
		for (int r = 0; r < e->checkpoint->n_regions; r++) {
			const struct vt_summary *s = &e->summary[r][list[i]];

			vt_buf_printf(out, "<td>%.4g", s->mean);
			if (e->draws)
				vt_buf_printf(out, " <small>%.4g to %.4g</small>", s->ci.low,
					s->ci.high);
			vt_buf_str(out, "</td>");
		}
		vt_buf_str(out, "</tr>\n");
	}
	vt_buf_str(out, "</tbody></table>\n");
}

static void empty_table(struct vt_buf *out, const struct vt_evaluation *e)
{
	vt_buf_str(out,
		"<h2>Empty masks</h2><table><thead><tr><th>region</th><th>subjects</th><th>both "
		"empty</th><th>missed</th><th>false alarm</th>"
		"<th>HD95 mm, all</th><th>HD95 mm, where both exist</th></tr></thead><tbody>\n");
	for (int r = 0; r < e->checkpoint->n_regions; r++) {
		vt_buf_printf(out,
			"<tr><td>%s</td><td>%zu</td><td>%zu</td><td>%zu</td><td>%zu</td><td>%.2f</"
			"td>",
			vt_evaluation_region(e, r), e->n, vt_evaluation_count(e, r, VT_BOTH_EMPTY),
			vt_evaluation_count(e, r, VT_MISSED),
			vt_evaluation_count(e, r, VT_FALSE_ALARM), mean(e, r, VT_HD95));
		if (e->n_found[r])
			vt_buf_printf(out, "<td>%.2f (n = %zu)</td></tr>\n",
				e->summary[r][VT_HD95].found_mean, e->n_found[r]);
		else
			vt_buf_str(out, "<td>none</td></tr>\n");
	}
	vt_buf_str(out,
		"</tbody></table><p>Both empty: Dice 1, distances 0. Missed or false alarm: Dice "
		"0, distances "
		"are the penalty (the box's "
		"diagonal unless given). None is left out of a mean.</p>\n");
}

static void lesions_table(struct vt_buf *out, const struct vt_evaluation *e)
{
	vt_buf_str(out,
		"<h2>Lesion by lesion</h2><table><thead><tr><th>region</th><th>Dice</th><th>HD95 "
		"mm</th><th>found</th><th>missed</th>"
		"<th>false</th><th>too small to score</th></tr></thead><tbody>\n");
	for (int r = 0; r < e->checkpoint->n_regions; r++) {
		struct vt_lesions sum = { .n = 0 };

		for (size_t i = 0; i < e->n; i++) {
			const struct vt_lesions *l = &e->subject[i].region[r].lesions;

			sum.found += l->found;
			sum.missed += l->missed;
			sum.false_alarms += l->false_alarms;
			sum.small += l->small;
		}
		vt_buf_printf(out,
			"<tr><td>%s</td><td>%.4f</td><td>%.2f</td><td>%llu</td><td>%llu</"
			"td><td>%llu</td><td>%llu</td>"
			"</tr>\n",
			vt_evaluation_region(e, r), mean(e, r, VT_LESION_DICE),
			mean(e, r, VT_LESION_HD95), (unsigned long long)sum.found,
			(unsigned long long)sum.missed, (unsigned long long)sum.false_alarms,
			(unsigned long long)sum.small);
	}
	vt_buf_str(out,
		"</tbody></table><p>Rule of the BraTS 2023 challenges: a missed or false lesion "
		"has Dice 0 and "
		"the penalty as distance.</p>\n");
}

static void threshold_table(struct vt_buf *out, const struct vt_evaluation *e)
{
	vt_buf_str(out,
		"<h2>Beside a single "
		"threshold</h2><table><thead><tr><th>region</th><th>channel</th>"
		"<th>threshold</th><th>its Dice</th><th>with an oracle threshold a "
		"subject</th><th>this "
		"network</th></tr></thead><tbody>\n");
	for (int r = 0; r < e->checkpoint->n_regions; r++)
		vt_buf_printf(out,
			"<tr><td>%s</td><td>%s</td><td>%.2f</td><td>%.4f</td><td>%.4f</"
			"td><td><b>%.4f</b></td></tr>\n",
			vt_evaluation_region(e, r),
			vt_json_text(vt_json_at(vt_json_get(e->checkpoint->json, "channels"),
					     (size_t)e->channel[r]),
				""),
			e->threshold[r], mean(e, r, VT_BASELINE), mean(e, r, VT_ORACLE),
			mean(e, r, VT_DICE));
	vt_buf_str(out,
		"</tbody></table><p>The threshold is fitted on the training subjects, on the "
		"normalized "
		"channel.</p>\n");
}

static void summary(struct vt_buf *out, const struct vt_evaluation *e)
{
	static const enum vt_score overlap[] = { VT_DICE, VT_IOU, VT_SENSITIVITY, VT_SPECIFICITY,
		VT_PRECISION, VT_VOLUME, VT_REFERENCE };
	static const enum vt_score distance[] = { VT_HD95, VT_HD95_POOLED, VT_HD95_SURFEL, VT_HD,
		VT_ASSD, VT_NSD, VT_NSD_SURFEL };

	cards(out, e);
	metrics_table(out, e, "Overlap", overlap, sizeof(overlap) / sizeof(overlap[0]));
	metrics_table(out, e, "Distance of surfaces", distance,
		sizeof(distance) / sizeof(distance[0]));
	vt_buf_str(out,
		"<p>hd95_mm: 95th percentile of each direction, the larger (MONAI). "
		"hd95_pooled_mm: of both "
		"together (medpy). hd95_surfel_mm: "
		"weighted by area (DeepMind surface-distance, BraTS 2023).");
	if (e->draws)
		vt_buf_printf(out,
			" Small print: 95 %% interval of the mean, percentile bootstrap over "
			"subjects, %u "
			"draws.",
			e->draws);
	vt_buf_str(out, "</p>\n");
	empty_table(out, e);
	lesions_table(out, e);
	threshold_table(out, e);
}

static void subjects(struct vt_buf *out, const struct vt_evaluation *e)
{
	vt_buf_str(out, "<h2>Subjects</h2><table><thead><tr><th>subject</th>");
	for (int r = 0; r < e->checkpoint->n_regions; r++)
		vt_buf_printf(out, "<th>%s Dice</th><th>HD95 mm</th><th>ml (reference)</th>",
			vt_evaluation_region(e, r));
	vt_buf_str(out, "</tr></thead><tbody>\n");
	for (size_t i = 0; i < e->n; i++) {
		vt_buf_str(out, "<tr><td>");
		escape(out, e->subject[i].file->subject);
		vt_buf_str(out, "</td>");
		for (int r = 0; r < e->checkpoint->n_regions; r++) {
			const struct vt_region_score *s = &e->subject[i].region[r];

			vt_buf_printf(out, "<td>%.4f%s%s%s</td><td>%.2f</td><td>%.1f (%.1f)</td>",
				s->overlap.dice,
				s->overlap.empty == VT_NOT_EMPTY ? "" : " <span class=\"mark\">",
				vt_empty_name(s->overlap.empty),
				s->overlap.empty == VT_NOT_EMPTY ? "" : "</span>", s->surface.hd95,
				s->overlap.volume_ml, s->overlap.reference_ml);
		}
		vt_buf_str(out, "</tr>\n");
	}
	vt_buf_str(out, "</tbody></table>\n");
}

static void identity(struct vt_buf *out, const struct vt_evaluation *e, const char *model_tree)
{
	const struct vt_json *j = e->checkpoint->json, *s = vt_json_get(j, "subjects");
	const struct vt_json *train = vt_json_get(s, "train");

	vt_buf_printf(out,
		"<h2>What this is</h2><p>Checkpoint tree <code>%s</code><br>%s, %lld parameters, "
		"patch %d, "
		"seed %lld, trained on %zu subjects of "
		"manifest <b>",
		model_tree, e->checkpoint->model,
		(long long)vt_json_integer(vt_json_pointer(j, "/model/parameters"), 0),
		e->checkpoint->patch[0], (long long)vt_json_integer(vt_json_get(j, "seed"), 0),
		train ? train->n : 0);
	escape(out, e->checkpoint->manifest->name);
	vt_buf_str(out, "</b>, channels ");
	for (int c = 0; c < e->checkpoint->n_channels; c++)
		vt_buf_printf(out, "%s%s", c ? ", " : "",
			vt_json_text(vt_json_at(vt_json_get(j, "channels"), (size_t)c), ""));
	vt_buf_str(out,
		".<br>Ask what it was made from: <code>voxtrail audit</code> on the checkpoint "
		"directory.</p>\n");
}

int vt_report_html(struct vt_buf *out, const struct vt_evaluation *e, const char *history,
	const char *model_tree, struct vt_err *err)
{
	int rc;

	vt_buf_printf(out,
		"<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Voxtrail "
		"evaluation</title>"
		"<meta name=\"viewport\" "
		"content=\"width=device-width\"><style>%s</style></head><body>\n<h1>Segmentation "
		"report</h1><p>",
		style);
	escape(out, e->checkpoint->manifest->name);
	vt_buf_printf(out, ", %zu subject%s kept out of training.</p>\n", e->n,
		e->n == 1 ? "" : "s");
	summary(out, e);
	rc = pictures(out, e, err);
	subjects(out, e);
	curve(out, e, history);
	identity(out, e, model_tree);
	vt_buf_str(out, "</body></html>\n");
	return rc;
}
