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

static void card(struct vt_buf *b, size_t n, const char *one, const char *many)
{
	vt_html_say(b, "<div class=card><b>%zu</b>%s</div>", n, n == 1 ? one : many);
}

static size_t count_raw(const struct vt_ancestry *a)
{
	size_t n = 0;

	for (size_t i = 0; i < a->n; i++)
		n += a->v[i].n_raw;
	return n;
}

static void summary(struct vt_buf *b, const struct vt_audit *r)
{
	const struct vt_json *first = r->a->v[0].record;
	char *again = vt_audit_repro(r);

	vt_buf_str(b, "<h1>Lineage of ");
	vt_html_text(b, r->what);
	vt_buf_str(b, "</h1><div class=soft>made by <b>");
	vt_html_text(b, text(first, "stage"));
	vt_html_say(b, "</b>, tree <span class=id>%s</span></div><div class=cards>",
		text(vt_json_pointer(first, "/outputs/0"), "tree"));
	card(b, r->a->n, "execution", "executions");
	card(b, r->subjects.n, "subject", "subjects");
	card(b, r->train.n ? r->train.n : 0, "trained on", "trained on");
	card(b, count_raw(r->a), "raw file read", "raw files read");
	if (r->a->missing.n)
		vt_html_say(b,
			"<div class=card><b class=bad>incomplete</b>%zu records are named but not "
			"to be "
			"found</div>",
			r->a->missing.n);
	else
		vt_buf_str(b,
			"<div class=card><b class=good>complete</b>back to every raw file</div>");
	vt_buf_str(b, "</div>");
	if (*again)
		vt_html_say(b, "<p>%s</p>", again);
	free(again);
}

/* --- the picture: a column a depth, the artifact on the right ------------ */

enum { BOX_W = 190, BOX_H = 46, GAP_X = 70, GAP_Y = 22, PAD = 16 };

struct placed {
	size_t x, y;
};

static struct placed *place(const struct vt_audit_groups *g, size_t *width, size_t *height)
{
	struct placed *p = vt_xcalloc(g->n + 1, sizeof(*p));
	size_t deepest = 0, *filled;

	for (size_t i = 0; i < g->n; i++)
		deepest = g->v[i].depth > deepest ? g->v[i].depth : deepest;
	filled = vt_xcalloc(deepest + 1, sizeof(*filled));
	*height = 0;
	for (size_t i = 0; i < g->n; i++) {
		/* raw files take the leftmost column */
		p[i] = (struct placed){ PAD + (deepest + 1 - g->v[i].depth) * (BOX_W + GAP_X),
			PAD + filled[g->v[i].depth]++ * (BOX_H + GAP_Y) };
		*height = p[i].y > *height ? p[i].y : *height;
	}
	*width = 2 * PAD + (deepest + 2) * BOX_W + (deepest + 1) * GAP_X;
	for (size_t i = 0, n_raw = 0; i < g->n; i++)
		if (g->v[i].n_raw && PAD + n_raw++ * (BOX_H + GAP_Y) > *height)
			*height += BOX_H + GAP_Y;
	*height += BOX_H + 3 * PAD;
	free(filled);
	return p;
}

/* One that leaps over a column runs below it. */
static void curve(struct vt_buf *b, struct placed from, struct placed to)
{
	size_t x0 = from.x + BOX_W, y0 = from.y + BOX_H / 2, x1 = to.x, y1 = to.y + BOX_H / 2,
	       leap = x1 > x0 + GAP_X ? BOX_H : 0;
	size_t bend = x1 > x0 ? (x1 - x0) / 3 : 0;

	vt_html_say(b, "<path d='M%zu %zuC%zu %zu %zu %zu %zu %zu'/>", x0, y0, x0 + bend, y0 + leap,
		x1 - bend, y1 + leap, x1, y1);
}

static void box(struct vt_buf *b, struct placed p, const char *kind, const char *name,
	const char *below)
{
	vt_html_say(b, "<rect class=%s x=%zu y=%zu width=%d height=%d rx=8 /><text x=%zu y=%zu>",
		kind, p.x, p.y, BOX_W, BOX_H, p.x + 12, p.y + 20);
	vt_html_text(b, name);
	vt_html_say(b, "</text><text class=s x=%zu y=%zu>", p.x + 12, p.y + 36);
	vt_html_text(b, below);
	vt_buf_str(b, "</text>");
}

static void raw_box(struct vt_buf *b, const struct vt_audit_group *g, size_t y, struct placed to)
{
	struct placed p = { PAD, y };
	char *below = vt_asprintf("%zu read", g->n_raw);

	curve(b, p, to);
	box(b, p, "raw", "raw files", below);
	free(below);
}

static void picture(struct vt_buf *b, const struct vt_audit *r)
{
	struct vt_audit_groups g;
	size_t width, height, n_raw = 0;
	struct placed *p;

	vt_audit_group(&g, r->a);
	p = place(&g, &width, &height);
	vt_html_say(b,
		"<h2>From raw files to this</h2><div class=graph><svg viewBox='0 0 %zu %zu' "
		"style='max-width:%zupx' role=img aria-label='executions by stage'>",
		width, height, width);
	for (size_t i = 0; i < g.n; i++)
		for (size_t k = 0; k < g.n; k++)
			if (g.edge[i * g.n + k])
				curve(b, p[k], p[i]);
	for (size_t i = 0; i < g.n; i++) {
		const struct vt_json *rec = r->a->v[g.v[i].first].record;
		char *below = vt_asprintf("%zu execution%s, code %.10s", g.v[i].n,
			g.v[i].n == 1 ? "" : "s", text(vt_json_get(rec, "code"), "commit"));

		if (g.v[i].n_raw)
			raw_box(b, &g.v[i], PAD + n_raw++ * (BOX_H + GAP_Y), p[i]);
		box(b, p[i], "x", text(rec, "stage"), below);
		free(below);
	}
	vt_buf_str(b, "</svg></div>");
	vt_audit_groups_release(&g);
	free(p);
}

/* --- the tables ---------------------------------------------------------- */

static void subjects(struct vt_buf *b, const struct vt_audit *r)
{
	static const char *const roles[][2] = { { "train", "trained on" },
		{ "validation",
			"used to choose the "
			"weights" },
		{ "test", "set aside" }, { "", "no training names them" } };

	vt_buf_str(b, "<h2>Subjects</h2>");
	for (size_t k = 0; k < 4; k++) {
		size_t n = 0;

		for (size_t i = 0; i < r->subjects.n; i++)
			if (!strcmp(vt_audit_role(r, r->subjects.v[i]), roles[k][0])) {
				if (!n++)
					vt_html_say(b, "<p><b>%s</b>: ", roles[k][1]);
				vt_buf_str(b, "<span class=tag>");
				vt_html_text(b, r->subjects.v[i]);
				if (vt_consent_withdrawn(&r->consent, r->subjects.v[i]))
					vt_buf_str(b, " <b class=bad>withdrawn</b>");
				vt_buf_str(b, "</span>");
			}
		if (n)
			vt_html_say(b, " <span class=soft>(%zu)</span></p>", n);
	}
}

static void row(struct vt_buf *b, const char *head, const char *value)
{
	vt_html_say(b, "<tr><th>%s<td class=id>", head);
	vt_html_text(b, value);
}

static void params(struct vt_buf *b, const struct vt_json *p)
{
	vt_buf_str(b, "<tr><th>params<td>");
	for (size_t i = 0; p && i < p->n; i++) {
		vt_buf_str(b, "<span class=tag>");
		vt_html_text(b, p->key[i]);
		vt_buf_char(b, '=');
		vt_html_text(b, vt_json_text(p->item[i], ""));
		vt_buf_str(b, "</span>");
	}
}

static void erased(struct vt_buf *b, const struct vt_audit *r, const char *sha256)
{
	if (vt_audit_erased(r, sha256))
		vt_buf_str(b, " <b class=bad>erased by decision</b>");
}

static void files(struct vt_buf *b, const struct vt_audit *r, const struct vt_execution *e)
{
	const struct vt_json *outputs = vt_json_get(e->record, "outputs");

	for (size_t i = 0; i < e->n_raw; i++) {
		vt_buf_str(b, i ? "<br>" : "<tr><th>raw files<td>");
		vt_html_text(b, e->raw[i].port);
		vt_buf_char(b, '/');
		vt_html_text(b, e->raw[i].path);
		vt_html_say(b, " <span class='id soft'>%s</span>", e->raw[i].sha256);
		erased(b, r, e->raw[i].sha256);
	}
	for (size_t i = 0; outputs && i < outputs->n; i++) {
		const struct vt_json *list = vt_json_get(outputs->item[i], "files");

		for (size_t k = 0; list && k < list->n; k++) {
			vt_buf_str(b, k ? "<br>" : "<tr><th>wrote<td>");
			vt_html_text(b, text(list->item[k], "path"));
			vt_html_say(b, " <span class='id soft'>%s</span>",
				text(list->item[k], "sha256"));
			erased(b, r, text(list->item[k], "sha256"));
		}
	}
}

static void execution(struct vt_buf *b, const struct vt_audit *r, size_t i)
{
	const struct vt_ancestry *a = r->a;
	const struct vt_execution *e = &a->v[i];
	const struct vt_json *code = vt_json_get(e->record, "code");

	vt_html_say(b, "<details id='r%.16s'%s><summary><b>", e->id, i < a->n_roots ? " open" : "");
	vt_html_text(b, text(e->record, "stage"));
	vt_html_say(b, "</b> <span class='id soft'>%.16s</span>", e->id);
	if (strcmp(text(e->record, "status"), "ok"))
		vt_buf_str(b, " <span class=bad>failed</span>");
	vt_buf_str(b, "</summary><table>");
	row(b, "record", e->id);
	row(b, "result", text(e->record, "result"));
	row(b, "binary", text(e->record, "binary"));
	row(b, "code", text(code, "commit"));
	if (vt_json_true(vt_json_get(code, "dirty"), false))
		vt_buf_str(b, " <span class=bad>modified</span>");
	params(b, vt_json_get(e->record, "params"));
	files(b, r, e);
	for (size_t k = 0; k < e->n_from; k++) {
		vt_buf_str(b, k ? ", " : "<tr><th>made from<td>");
		vt_html_say(b, "<a href='#r%.16s'>%s %.16s</a>", a->v[e->from[k]].id,
			text(a->v[e->from[k]].record, "stage"), a->v[e->from[k]].id);
	}
	vt_buf_str(b, "</table></details>");
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
		"the rest as "
		"docs/store.md says.</body></html>\n");
}
