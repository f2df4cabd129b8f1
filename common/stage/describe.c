/* What a stage says of itself: --help, --describe=json|boutiques|markdown, all from its tables. */
#include <stdlib.h>
#include <string.h>

#include "common/stage/stage_internal.h"

enum { COLUMN = 28 };

/* "  head<pad>text" */
static void row(struct vt_buf *out, const char *head, const char *text)
{
	size_t col = strlen(head) + 2;

	vt_buf_printf(out, "  %s", head);
	if (col + 2 > COLUMN) {
		vt_buf_char(out, '\n');
		col = 0;
	}
	vt_buf_printf(out, "%*s", (int)(COLUMN - col), "");
	vt_buf_wrap(out, text, COLUMN);
}

/* Each paragraph of text, an empty line above it; an indented one, of commands, as it is. */
static void paragraphs(struct vt_buf *out, const char *text)
{
	while (text && *text) {
		const char *end = strstr(text, "\n\n");
		size_t n = end ? (size_t)(end - text) : strlen(text);
		char *one = vt_xstrndup(text, n);

		vt_buf_char(out, '\n');
		if (strncmp(one, "    ", 4))
			vt_buf_wrap(out, one, 0);
		else
			vt_buf_printf(out, "%s\n", one);
		free(one);
		text += n + (end ? 2 : 0);
	}
}

static const char *heading_above(const struct vt_stage *stage, const char *param)
{
	for (const struct vt_heading *h = stage->headings; h && h->first; h++)
		if (!strcmp(h->first, param))
			return h->text;
	return NULL;
}

static char *param_default(const struct vt_param *param)
{
	char text[32];

	switch (param->kind) {
	case VT_PARAM_BOOL: return vt_xstrdup(param->value != 0 ? "true" : "false");
	case VT_PARAM_ENUM: return vt_xstrdup(param->names[(int)param->value]);
	case VT_PARAM_TEXT:
	case VT_PARAM_JSON: return vt_xstrdup(param->text ? param->text : "");
	default: vt_json_real_text(text, param->value); return vt_xstrdup(text);
	}
}

static void enum_names(struct vt_buf *out, const struct vt_param *param, const char *between)
{
	for (int i = 0; param->names && param->names[i]; i++)
		vt_buf_printf(out, "%s%s", i ? between : "", param->names[i]);
}

static void param_row(struct vt_buf *out, const struct vt_param *param)
{
	static const char *const value_name[] = { "", "N", "X", "true|false", "NAME", "TEXT",
		"JSON" };
	char *head = vt_asprintf("--%s %s", param->name, value_name[param->kind]),
	     *value = param_default(param);
	struct vt_buf text = VT_BUF_INIT;

	vt_buf_str(&text, param->help);
	if (param->kind == VT_PARAM_ENUM) {
		vt_buf_str(&text, ": ");
		enum_names(&text, param, ", ");
	}
	vt_buf_printf(&text, " [%s%s%s", *value ? value : "empty", *param->unit ? " " : "",
		param->unit);
	if (param->min < param->max)
		vt_buf_printf(&text, "; %g to %g", param->min, param->max);
	vt_buf_char(&text, ']');
	row(out, head, text.data);
	vt_buf_release(&text);
	free(value);
	free(head);
}

static int port_named(const struct vt_stage *stage, const char *name, int k)
{
	char *numbered = vt_asprintf("%s-%d", name, k);
	int at = vt_stage_n_ports(stage) - 1;

	while (at >= 0 && strcmp(stage->in[at].name, numbered) != 0)
		at--;
	free(numbered);
	return at;
}

/* How often a port may be given: the second time it is the port "name-2", then "name-3". */
static int times(const struct vt_stage *stage, const struct vt_port *port)
{
	int n = 1;

	while (port_named(stage, port->name, n + 1) >= 0)
		n++;
	return n;
}

/* Whether port i is another one given again, which people read of there. */
static bool is_again(const struct vt_stage *stage, int i)
{
	for (int p = 0; p < vt_stage_n_ports(stage); p++)
		for (int k = times(stage, &stage->in[p]); k > 1; k--)
			if (port_named(stage, stage->in[p].name, k) == i)
				return true;
	return false;
}

/* What people read of a port; the caller's. */
static char *port_text(const struct vt_stage *stage, const struct vt_port *port)
{
	int n = times(stage, port);
	char *often = n > 1
		? vt_asprintf(" (at most %d times; --%s-2 is the second by name)", n, port->name)
		: vt_xstrdup("");
	char *text = vt_asprintf("%s%s%s", port->help, often, port->optional ? " (optional)" : "");

	free(often);
	return text;
}

static void port_rows(struct vt_buf *out, const struct vt_stage *stage)
{
	for (int i = 0; i < vt_stage_n_ports(stage); i++) {
		char *head = vt_asprintf("--%s %s", stage->in[i].name,
			stage->in[i].kind == VT_PORT_FILE ? "FILE" : "DIR");
		char *text = port_text(stage, &stage->in[i]);

		if (!is_again(stage, i))
			row(out, head, text);
		free(text);
		free(head);
	}
}

void vt_stage_help(struct vt_buf *out, const struct vt_stage *stage)
{
	vt_buf_printf(out, "usage: %s", stage->name);
	for (int i = 0; i < vt_stage_n_ports(stage); i++)
		if (!stage->in[i].optional)
			vt_buf_printf(out, " --%s %s", stage->in[i].name,
				stage->in[i].kind == VT_PORT_FILE ? "FILE" : "DIR");
	vt_buf_printf(out, " --out DIR [PARAM...]\n\n%s\n", stage->summary);
	paragraphs(out, stage->about);
	vt_buf_str(out, "\ninputs\n");
	port_rows(out, stage);
	vt_buf_str(out, "\noutput\n");
	row(out, "--out DIR",
		stage->output ? stage->output
			      : "where the result goes; made if absent, must be empty");
	vt_buf_str(out, "\nparams [default; range]\n");
	for (int i = 0; i < vt_stage_n_params(stage); i++) {
		if (heading_above(stage, stage->params[i].name))
			vt_buf_printf(out, " %s\n", heading_above(stage, stage->params[i].name));
		param_row(out, &stage->params[i]);
	}
	vt_buf_str(out, "\nevery stage\n");
	row(out, "--recipe FILE",
		"JSON {\"params\": {...}, \"binary\": \"<sha256>\"}; flags go before it");
	row(out, "--store DIR", "keep the result in this store and reuse it if it is there");
	row(out, "--scratch DIR", "where a killed execution may resume from");
	row(out, "--follow-links",
		"a symbolic link to a file stands for the file (datalad, git-annex)");
	row(out, "--threads N", "processors to use; never changes a result");
	row(out, "--log text|json", "form of the events on stderr");
	row(out, "--describe json|boutiques|markdown", "this table, for programs");
	if (stage->plan)
		row(out, "--plan", "print what the execution would take and stop");
	row(out, "--version, --help", "print and stop");
	vt_buf_str(out,
		"\nexit status: 0 done, 64 usage, 65 bad input (see quarantine/), 66 missing "
		"input,\n"
		"70 internal error, 71 memory, 73/74 output, 75 device, 76 damaged data,\n"
		"78 recipe, 130/143 stopped by SIGINT or SIGTERM\n");
}

/* --- for programs -------------------------------------------------------- */

static struct vt_json *ports_json(const struct vt_stage *stage)
{
	struct vt_json *list = vt_json_new(VT_JSON_ARRAY);

	for (int i = 0; i < vt_stage_n_ports(stage); i++) {
		struct vt_json *o = vt_json_new(VT_JSON_OBJECT);

		vt_json_put_text(o, "name", stage->in[i].name);
		vt_json_put_text(o, "kind",
			stage->in[i].kind == VT_PORT_FILE ? "file" : "directory");
		vt_json_put_bool(o, "optional", stage->in[i].optional);
		vt_json_put_text(o, "help", stage->in[i].help);
		vt_json_push(list, o);
	}
	return list;
}

static struct vt_json *params_json(const struct vt_stage *stage)
{
	static const char *const kind[] = { "", "int", "real", "bool", "enum", "text", "json" };
	struct vt_json *list = vt_json_new(VT_JSON_ARRAY);

	for (int i = 0; i < vt_stage_n_params(stage); i++) {
		const struct vt_param *p = &stage->params[i];
		struct vt_json *o = vt_json_new(VT_JSON_OBJECT);
		char *value = param_default(p);

		vt_json_put_text(o, "name", p->name);
		vt_json_put_text(o, "kind", kind[p->kind]);
		vt_json_put_text(o, "default", value);
		if (p->min < p->max) {
			vt_json_put_real(o, "min", p->min);
			vt_json_put_real(o, "max", p->max);
		}
		vt_json_put_text(o, "unit", p->unit);
		vt_json_put_text(o, "help", p->help);
		if (p->names) {
			struct vt_json *names = vt_json_new(VT_JSON_ARRAY);

			for (int k = 0; p->names[k]; k++)
				vt_json_push(names, vt_json_new_text(p->names[k]));
			vt_json_put(o, "names", names);
		}
		vt_json_push(list, o);
		free(value);
	}
	return list;
}

static void describe_json(struct vt_buf *out, const struct vt_stage *stage)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT);

	vt_json_put_text(j, "name", stage->name);
	vt_json_put_text(j, "version", stage->version);
	vt_json_put_text(j, "summary", stage->summary);
	vt_json_put(j, "inputs", ports_json(stage));
	vt_json_put_text(j, "output", stage->output ? stage->output : "");
	vt_json_put(j, "params", params_json(stage));
	vt_json_pretty(out, j);
	vt_json_free(j);
}

static char *id_of(const char *name)
{
	char *id = vt_xstrdup(name);

	for (char *p = id; *p; p++)
		*p = *p == '-' ? '_' : *p;
	return id;
}

/* One input of a Boutiques descriptor; `key` is its place on the command line, e.g. [SCANS]. */
static struct vt_json *boutiques_input(const char *name, const char *type, bool optional,
	const char *help, struct vt_buf *line)
{
	struct vt_json *o = vt_json_new(VT_JSON_OBJECT);
	char *id = id_of(name), *key = vt_asprintf("[%s]", id), *flag = vt_asprintf("--%s", name);

	for (char *p = key; *p; p++)
		if (*p >= 'a' && *p <= 'z')
			*p = (char)(*p - 'a' + 'A');
	vt_json_put_text(o, "id", id);
	vt_json_put_text(o, "name", name);
	vt_json_put_text(o, "type", type);
	vt_json_put_text(o, "description", help);
	vt_json_put_text(o, "value-key", key);
	vt_json_put_text(o, "command-line-flag", flag);
	vt_json_put_bool(o, "optional", optional);
	vt_buf_printf(line, " %s", key);
	free(flag);
	free(key);
	free(id);
	return o;
}

static struct vt_json *boutiques_param(const struct vt_param *param, struct vt_buf *line)
{
	bool number = param->kind == VT_PARAM_INT || param->kind == VT_PARAM_REAL;
	struct vt_json *o = boutiques_input(param->name, number ? "Number" : "String", true,
			       param->help, line),
		       *list = vt_json_new(VT_JSON_ARRAY);

	if (number) {
		vt_json_put_bool(o, "integer", param->kind == VT_PARAM_INT);
		if (param->min < param->max) {
			vt_json_put_real(o, "minimum", param->min);
			vt_json_put_real(o, "maximum", param->max);
		}
	}
	if (param->kind == VT_PARAM_BOOL) {
		vt_json_push(list, vt_json_new_text("true"));
		vt_json_push(list, vt_json_new_text("false"));
	}
	for (int k = 0; param->names && param->names[k]; k++)
		vt_json_push(list, vt_json_new_text(param->names[k]));
	if (list->n)
		vt_json_put(o, "value-choices", list);
	else
		vt_json_free(list);
	return o;
}

static void describe_boutiques(struct vt_buf *out, const struct vt_stage *stage)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT), *inputs = vt_json_new(VT_JSON_ARRAY),
		       *outputs = vt_json_new(VT_JSON_ARRAY), *o;
	struct vt_buf line = VT_BUF_INIT;

	vt_buf_str(&line, stage->name);
	for (int i = 0; i < vt_stage_n_ports(stage); i++)
		vt_json_push(inputs,
			boutiques_input(stage->in[i].name, "File", stage->in[i].optional,
				stage->in[i].help, &line));
	for (int i = 0; i < vt_stage_n_params(stage); i++)
		vt_json_push(inputs, boutiques_param(&stage->params[i], &line));
	vt_json_push(inputs,
		boutiques_input("out", "String", false, "where the result goes", &line));
	o = vt_json_new(VT_JSON_OBJECT);
	vt_json_put_text(o, "id", "output");
	vt_json_put_text(o, "name", "output directory");
	vt_json_put_text(o, "path-template", "[OUT]");
	vt_json_push(outputs, o);
	vt_json_put_text(j, "name", stage->name);
	vt_json_put_text(j, "description", stage->summary);
	vt_json_put_text(j, "tool-version", stage->version);
	vt_json_put_text(j, "schema-version", "0.5");
	vt_json_put_text(j, "command-line", line.data);
	vt_json_put(j, "inputs", inputs);
	vt_json_put(j, "output-files", outputs);
	vt_json_pretty(out, j);
	vt_json_free(j);
	vt_buf_release(&line);
}

static void markdown_param(struct vt_buf *out, const struct vt_param *param)
{
	char *value = param_default(param);

	vt_buf_printf(out, "| `--%s` | %s | ", param->name, value);
	if (param->names)
		enum_names(out, param, ", ");
	else if (param->min < param->max)
		vt_buf_printf(out, "%g to %g", param->min, param->max);
	vt_buf_printf(out, " | %s | %s |\n", param->unit, param->help);
	free(value);
}

static void describe_markdown(struct vt_buf *out, const struct vt_stage *stage)
{
	static const char table[] =
		"\n| flag | default | range | unit | what |\n|---|---|---|---|---|\n";

	vt_buf_printf(out, "# %s\n\n%s\n", stage->name, stage->summary);
	if (stage->about)
		vt_buf_printf(out, "\n%s\n", stage->about);
	vt_buf_str(out, "\n## Inputs\n\n| flag | what |\n|---|---|\n");
	for (int i = 0; i < vt_stage_n_ports(stage); i++) {
		char *text = port_text(stage, &stage->in[i]);

		if (!is_again(stage, i))
			vt_buf_printf(out, "| `--%s` | %s |\n", stage->in[i].name, text);
		free(text);
	}
	vt_buf_printf(out, "\n## Output\n\n%s\n\n## Params\n", stage->output ? stage->output : "");
	for (int i = 0; i < vt_stage_n_params(stage); i++) {
		const char *heading = heading_above(stage, stage->params[i].name);

		if (heading)
			vt_buf_printf(out, "\n### %s\n", heading);
		if (heading || !i)
			vt_buf_str(out, table);
		markdown_param(out, &stage->params[i]);
	}
}

int vt_stage_describe(struct vt_buf *out, const struct vt_stage *stage, const char *form,
	struct vt_err *err)
{
	if (!strcmp(form, "json"))
		describe_json(out, stage);
	else if (!strcmp(form, "boutiques"))
		describe_boutiques(out, stage);
	else if (!strcmp(form, "markdown"))
		describe_markdown(out, stage);
	else
		return vt_err_set(err, VT_EUSAGE, "--describe=%s: say json, boutiques or markdown",
			form);
	return 0;
}
