/* The audit as one page: what a person who never saw the tool wants to know first stands first. */
#include <stdlib.h>
#include <string.h>

#include "common/base/text_out.h"
#include "pipelines/tool/audit_report.h"

static const char style[] =
	":root{color-scheme:light "
	"dark;--ink:#1c2733;--soft:#5b6b7b;--line:#d9e0e7;--back:#fff;--card:#f6f8fa;"
	"--mark:#0b6e8f;--good:#1b7f4b;--bad:#b3261e}"
	"@media(prefers-color-scheme:dark){:root{--ink:#e6edf3;--soft:#9aa8b6;--line:#30404f;--"
	"back:#11181f;"
	"--card:#19232c;--mark:#5cc4e6;--good:#57c98a;"
	"--bad:#ff8a80}}"
	"body{font:15px/1.5 "
	"system-ui,sans-serif;color:var(--ink);background:var(--back);max-width:1080px;margin:2rem "
	"auto;padding:0 1.2rem}"
	"h1{font-size:1.5rem;margin:0 0 .2rem}h2{font-size:1.1rem;margin:2rem 0 "
	".6rem}code,.id{font:12.5px "
	"ui-monospace,monospace;word-break:break-all}"
	".soft{color:var(--soft)}.cards{display:flex;flex-wrap:wrap;gap:.7rem;margin:1.2rem 0}"
	".card{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:.6rem "
	"1rem;min-width:7rem}"
	".card "
	"b{display:block;font-size:1.5rem;line-height:1.2}.good{color:var(--good)}.bad{color:var(--"
	"bad)}"
	"table{border-collapse:collapse;width:100%}td,th{border-bottom:1px solid "
	"var(--line);padding:.25rem .6rem "
	".25rem 0;text-align:left;vertical-align:top}"
	"th{font-weight:600;color:var(--soft)}details{border:1px solid "
	"var(--line);border-radius:8px;margin:.5rem "
	"0;padding:.4rem .8rem;background:var(--card)}"
	"summary{cursor:pointer}.graph{overflow-x:auto;border:1px solid "
	"var(--line);border-radius:8px;background:var(--card)}"
	"svg text{fill:var(--ink);font:13px system-ui,sans-serif}svg "
	".s{fill:var(--soft);font-size:11px}svg "
	"rect{fill:var(--back);stroke:var(--mark)}"
	"svg rect.raw{stroke:var(--soft);stroke-dasharray:4 3}svg "
	"path{fill:none;stroke:var(--soft)}.tag{border:1px "
	"solid var(--line);border-radius:9px;"
	"padding:0 .5rem;margin-right:.3rem;display:inline-block}";

static const char *text(const struct vt_json *j, const char *key)
{
	return vt_json_text(vt_json_get(j, key), "");
}

static void card(struct vt_buf *buf, size_t n, const char *one, const char *many)
{
	vt_html_say(buf, "<div class=card><b>%zu</b>%s</div>", n, n == 1 ? one : many);
}

static size_t count_raw(const struct vt_ancestry *ancestry)
{
	size_t n = 0;

	for (size_t i = 0; i < ancestry->n; i++)
		n += ancestry->v[i].n_raw;
	return n;
}

static void summary(struct vt_buf *buf, const struct vt_audit *audit)
{
	const struct vt_json *first = audit->a->v[0].record;
	char *again = vt_audit_repro(audit);

	vt_buf_str(buf, "<h1>Lineage of ");
	vt_html_text(buf, audit->what);
	vt_buf_str(buf, "</h1><div class=soft>made by <b>");
	vt_html_text(buf, text(first, "stage"));
	vt_html_say(buf, "</b>, tree <span class=id>%s</span></div><div class=cards>",
		text(vt_json_pointer(first, "/outputs/0"), "tree"));
	card(buf, audit->a->n, "execution", "executions");
	card(buf, audit->subjects.n, "subject", "subjects");
	card(buf, audit->train.n ? audit->train.n : 0, "trained on", "trained on");
	card(buf, count_raw(audit->a), "raw file read", "raw files read");
	if (audit->a->missing.n)
		vt_html_say(buf,
			"<div class=card><b class=bad>incomplete</b>%zu records are named but not "
			"to be found</div>",
			audit->a->missing.n);
	else
		vt_buf_str(buf,
			"<div class=card><b class=good>complete</b>back to every raw file</div>");
	vt_buf_str(buf, "</div>");
	if (*again)
		vt_html_say(buf, "<p>%s</p>", again);
	free(again);
}

/* --- the picture: a column a depth, the artifact on the right ------------ */

enum { BOX_W = 190, BOX_H = 46, GAP_X = 70, GAP_Y = 22, PAD = 16 };

struct placed {
	size_t x, y;
};

static struct placed *place(const struct vt_audit_groups *groups, size_t *width, size_t *height)
{
	struct placed *p = vt_xcalloc(groups->n + 1, sizeof(*p));
	size_t deepest = 0, *filled;

	for (size_t i = 0; i < groups->n; i++)
		deepest = groups->v[i].depth > deepest ? groups->v[i].depth : deepest;
	filled = vt_xcalloc(deepest + 1, sizeof(*filled));
	*height = 0;
	for (size_t i = 0; i < groups->n; i++) {
		/* raw files take the leftmost column */
		p[i] = (struct placed){ PAD + (deepest + 1 - groups->v[i].depth) * (BOX_W + GAP_X),
			PAD + filled[groups->v[i].depth]++ * (BOX_H + GAP_Y) };
		*height = p[i].y > *height ? p[i].y : *height;
	}
	*width = 2 * PAD + (deepest + 2) * BOX_W + (deepest + 1) * GAP_X;
	for (size_t i = 0, n_raw = 0; i < groups->n; i++)
		if (groups->v[i].n_raw && PAD + n_raw++ * (BOX_H + GAP_Y) > *height)
			*height += BOX_H + GAP_Y;
	*height += BOX_H + 3 * PAD;
	free(filled);
	return p;
}

/* One that leaps over a column runs below it. */
static void curve(struct vt_buf *buf, struct placed from, struct placed to)
{
	size_t x0 = from.x + BOX_W, y0 = from.y + BOX_H / 2, x1 = to.x, y1 = to.y + BOX_H / 2,
	       leap = x1 > x0 + GAP_X ? BOX_H : 0;
	size_t bend = x1 > x0 ? (x1 - x0) / 3 : 0;

	vt_html_say(buf, "<path d='M%zu %zuC%zu %zu %zu %zu %zu %zu'/>", x0, y0, x0 + bend,
		y0 + leap, x1 - bend, y1 + leap, x1, y1);
}

static void box(struct vt_buf *buf, struct placed placed, const char *kind, const char *name,
	const char *below)
{
	vt_html_say(buf, "<rect class=%s x=%zu y=%zu width=%d height=%d rx=8 /><text x=%zu y=%zu>",
		kind, placed.x, placed.y, BOX_W, BOX_H, placed.x + 12, placed.y + 20);
	vt_html_text(buf, name);
	vt_html_say(buf, "</text><text class=s x=%zu y=%zu>", placed.x + 12, placed.y + 36);
	vt_html_text(buf, below);
	vt_buf_str(buf, "</text>");
}

static void raw_box(struct vt_buf *buf, const struct vt_audit_group *group, size_t y,
	struct placed to)
{
	struct placed p = { PAD, y };
	char *below = vt_asprintf("%zu read", group->n_raw);

	curve(buf, p, to);
	box(buf, p, "raw", "raw files", below);
	free(below);
}

static void picture(struct vt_buf *buf, const struct vt_audit *audit)
{
	struct vt_audit_groups g;
	size_t width, height, n_raw = 0;
	struct placed *p;

	vt_audit_group(&g, audit->a);
	p = place(&g, &width, &height);
	vt_html_say(buf,
		"<h2>From raw files to this</h2><div class=graph><svg viewBox='0 0 %zu %zu' "
		"style='max-width:%zupx' role=img aria-label='executions by stage'>",
		width, height, width);
	for (size_t i = 0; i < g.n; i++)
		for (size_t k = 0; k < g.n; k++)
			if (g.edge[i * g.n + k])
				curve(buf, p[k], p[i]);
	for (size_t i = 0; i < g.n; i++) {
		const struct vt_json *rec = audit->a->v[g.v[i].first].record;
		char *below = vt_asprintf("%zu execution%s, code %.10s", g.v[i].n,
			g.v[i].n == 1 ? "" : "s", text(vt_json_get(rec, "code"), "commit"));

		if (g.v[i].n_raw)
			raw_box(buf, &g.v[i], PAD + n_raw++ * (BOX_H + GAP_Y), p[i]);
		box(buf, p[i], "x", text(rec, "stage"), below);
		free(below);
	}
	vt_buf_str(buf, "</svg></div>");
	vt_audit_groups_release(&g);
	free(p);
}

/* --- the tables ---------------------------------------------------------- */

static void subjects(struct vt_buf *buf, const struct vt_audit *audit)
{
	static const char *const roles[][2] = { { "train", "trained on" },
		{ "validation", "used to choose the weights" }, { "test", "set aside" },
		{ "", "no training names them" } };

	vt_buf_str(buf, "<h2>Subjects</h2>");
	for (size_t k = 0; k < 4; k++) {
		size_t n = 0;

		for (size_t i = 0; i < audit->subjects.n; i++)
			if (!strcmp(vt_audit_role(audit, audit->subjects.v[i]), roles[k][0])) {
				if (!n++)
					vt_html_say(buf, "<p><b>%s</b>: ", roles[k][1]);
				vt_buf_str(buf, "<span class=tag>");
				vt_html_text(buf, audit->subjects.v[i]);
				if (vt_consent_withdrawn(&audit->consent, audit->subjects.v[i]))
					vt_buf_str(buf, " <b class=bad>withdrawn</b>");
				vt_buf_str(buf, "</span>");
			}
		if (n)
			vt_html_say(buf, " <span class=soft>(%zu)</span></p>", n);
	}
}

static void row(struct vt_buf *buf, const char *head, const char *value)
{
	vt_html_say(buf, "<tr><th>%s<td class=id>", head);
	vt_html_text(buf, value);
}

static void params(struct vt_buf *buf, const struct vt_json *json)
{
	vt_buf_str(buf, "<tr><th>params<td>");
	for (size_t i = 0; json && i < json->n; i++) {
		vt_buf_str(buf, "<span class=tag>");
		vt_html_text(buf, json->key[i]);
		vt_buf_char(buf, '=');
		vt_html_text(buf, vt_json_text(json->item[i], ""));
		vt_buf_str(buf, "</span>");
	}
}

static void erased(struct vt_buf *buf, const struct vt_audit *audit, const char *sha256)
{
	if (vt_audit_erased(audit, sha256))
		vt_buf_str(buf, " <b class=bad>erased by decision</b>");
}

static void files(struct vt_buf *buf, const struct vt_audit *audit, const struct vt_execution *e)
{
	const struct vt_json *outputs = vt_json_get(e->record, "outputs");

	for (size_t i = 0; i < e->n_raw; i++) {
		vt_buf_str(buf, i ? "<br>" : "<tr><th>raw files<td>");
		vt_html_text(buf, e->raw[i].port);
		vt_buf_char(buf, '/');
		vt_html_text(buf, e->raw[i].path);
		vt_html_say(buf, " <span class='id soft'>%s</span>", e->raw[i].sha256);
		erased(buf, audit, e->raw[i].sha256);
	}
	for (size_t i = 0; outputs && i < outputs->n; i++) {
		const struct vt_json *list = vt_json_get(outputs->item[i], "files");

		for (size_t k = 0; list && k < list->n; k++) {
			vt_buf_str(buf, k ? "<br>" : "<tr><th>wrote<td>");
			vt_html_text(buf, text(list->item[k], "path"));
			vt_html_say(buf, " <span class='id soft'>%s</span>",
				text(list->item[k], "sha256"));
			erased(buf, audit, text(list->item[k], "sha256"));
		}
	}
}

static void execution(struct vt_buf *buf, const struct vt_audit *audit, size_t i)
{
	const struct vt_ancestry *a = audit->a;
	const struct vt_execution *e = &a->v[i];
	const struct vt_json *code = vt_json_get(e->record, "code");

	vt_html_say(buf, "<details id='r%.16s'%s><summary><b>", e->id,
		i < a->n_roots ? " open" : "");
	vt_html_text(buf, text(e->record, "stage"));
	vt_html_say(buf, "</b> <span class='id soft'>%.16s</span>", e->id);
	if (strcmp(text(e->record, "status"), "ok"))
		vt_buf_str(buf, " <span class=bad>failed</span>");
	vt_buf_str(buf, "</summary><table>");
	row(buf, "record", e->id);
	row(buf, "result", text(e->record, "result"));
	row(buf, "binary", text(e->record, "binary"));
	row(buf, "code", text(code, "commit"));
	if (vt_json_true(vt_json_get(code, "dirty"), false))
		vt_buf_str(buf, " <span class=bad>modified</span>");
	params(buf, vt_json_get(e->record, "params"));
	files(buf, audit, e);
	for (size_t k = 0; k < e->n_from; k++) {
		vt_buf_str(buf, k ? ", " : "<tr><th>made from<td>");
		vt_html_say(buf, "<a href='#r%.16s'>%s %.16s</a>", a->v[e->from[k]].id,
			text(a->v[e->from[k]].record, "stage"), a->v[e->from[k]].id);
	}
	vt_buf_str(buf, "</table></details>");
}

void vt_audit_html(struct vt_buf *out, const struct vt_audit *audit)
{
	char *title = vt_asprintf("Lineage of %s", audit->what);

	vt_html_begin(out, title, style);
	free(title);
	summary(out, audit);
	picture(out, audit);
	subjects(out, audit);
	vt_buf_str(out, "<h2>Executions</h2>");
	for (size_t i = 0; i < audit->a->n; i++)
		execution(out, audit, i);
	if (audit->a->missing.n) {
		vt_buf_str(out, "<h2>Records that are not to be found</h2>");
		for (size_t i = 0; i < audit->a->missing.n; i++)
			vt_html_say(out, "<div class=id>%s</div>", audit->a->missing.v[i]);
	}
	vt_buf_str(out,
		"<p class=soft>Every id is a SHA-256 that can be recomputed: files with sha256sum, "
		"the rest as docs/store.md says.</body></html>\n");
}
