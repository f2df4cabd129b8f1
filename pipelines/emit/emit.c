#include "pipelines/emit/emit.h"

#include <string.h>

static bool block(const struct vt_json *j)
{
	return (j->type == VT_JSON_ARRAY || j->type == VT_JSON_OBJECT) && j->n;
}

static void indent(struct vt_buf *out, int depth)
{
	for (int i = 0; i < depth; i++)
		vt_buf_str(out, "  ");
}

static void node(struct vt_buf *out, const struct vt_json *j, int depth, bool inline_first);

static void member(struct vt_buf *out, const struct vt_json *json, int depth)
{
	if (!block(json)) {
		vt_buf_char(out, ' ');
		vt_json_compact(out, json);
		vt_buf_char(out, '\n');
		return;
	}
	vt_buf_char(out, '\n');
	node(out, json, depth, false);
}

/* inline_first: the first key stands behind a "- " that is already there. */
static void node(struct vt_buf *out, const struct vt_json *j, int depth, bool inline_first)
{
	for (size_t i = 0; i < j->n; i++) {
		if (i || !inline_first)
			indent(out, depth);
		if (j->type == VT_JSON_OBJECT) {
			bool plain = strspn(j->key[i],
					     "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0"
					     "123456789_-./") == strlen(j->key[i]);
			if (plain)
				vt_buf_printf(out, "%s:", j->key[i]);
			else
				vt_json_quote(out, j->key[i]), vt_buf_char(out, ':');
			member(out, j->item[i], depth + 1);
		} else if (block(j->item[i])) {
			vt_buf_str(out, "- ");
			node(out, j->item[i], depth + 1, true);
		} else {
			vt_buf_str(out, "- ");
			vt_json_compact(out, j->item[i]);
			vt_buf_char(out, '\n');
		}
	}
}

void vt_yaml_write(struct vt_buf *out, const struct vt_json *value)
{
	if (block(value)) {
		node(out, value, 0, false);
		return;
	}
	vt_json_compact(out, value);
	vt_buf_char(out, '\n');
}

/* A pipeline of Pachyderm's is no input of itself; what it made before has to be carried over. */
int vt_emit_pachyderm(struct vt_buf *out, const struct vt_spec *spec, struct vt_err *err)
{
	for (size_t i = 0; i < spec->n; i++)
		if (spec->pipeline[i].warm)
			return vt_err_set(err, VT_EDATA,
				"%s: %s/input: %s reads its own output, which no Pachyderm takes; "
				"let its input \"%s\" read a repo of its own, and after each "
				"training fill that: pachctl create repo %s-previous; pachctl copy "
				"file %s@master:/ %s-previous@master:/",
				spec->path, spec->pipeline[i].pointer, spec->pipeline[i].name,
				spec->pipeline[i].warm, spec->pipeline[i].name,
				spec->pipeline[i].name, spec->pipeline[i].name);
	struct vt_json *all = vt_json_new(VT_JSON_ARRAY);

	for (size_t i = 0; i < spec->n; i++)
		vt_json_push(all, vt_json_copy(spec->pipeline[spec->order[i]].json));
	vt_json_pretty(out, all);
	if (!out->len || out->data[out->len - 1] != '\n')
		vt_buf_char(out, '\n');
	vt_json_free(all);
	return 0;
}

static struct vt_json *boutiques_input(const char *id, const char *name, const char *key,
	const char *type)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT);
	vt_json_put_text(j, "id", id);
	vt_json_put_text(j, "name", name);
	vt_json_put_text(j, "type", type);
	vt_json_put_text(j, "value-key", key);
	return j;
}

struct boutiques {
	struct vt_json *inputs;
	struct vt_strs from, to;
};

static void boutiques_leaf(void *ctx, const struct vt_input *leaf)
{
	struct boutiques *b = ctx;
	struct vt_buf key = VT_BUF_INIT, from = VT_BUF_INIT;

	/* The branches of a union have inputs of one name: one argument. */
	vt_buf_printf(&from, "/pfs/%s", leaf->name);
	if (vt_strs_hold(&b->from, from.data)) {
		vt_buf_release(&from);
		return;
	}
	vt_buf_char(&key, '[');
	for (const char *p = leaf->name; *p; p++)
		vt_buf_char(&key, (char)(*p >= 'a' && *p <= 'z' ? *p - 32 : *p));
	vt_buf_char(&key, ']');
	vt_json_push(b->inputs, boutiques_input(leaf->name, leaf->name, key.data, "File"));
	vt_strs_add(&b->from, from.data);
	vt_strs_add(&b->to, key.data);
	vt_buf_release(&key);
	vt_buf_release(&from);
}

/* The command as one line, each input's directory replaced by its value key. */
static void boutiques_command(struct vt_buf *line, const struct vt_pipeline *pipeline,
	const struct boutiques *boutiques)
{
	const struct vt_json *cmd = vt_json_get(pipeline->transform, "cmd");
	for (size_t i = 0; cmd && i < cmd->n; i++) {
		const char *word = vt_json_text(cmd->item[i], "");
		vt_buf_str(line, i ? " " : "");
		for (size_t k = 0; k < boutiques->from.n; k++) {
			size_t n = strlen(boutiques->from.v[k]);
			if (!strncmp(word, boutiques->from.v[k], n) &&
				(!word[n] || word[n] == '/')) {
				vt_buf_str(line, boutiques->to.v[k]);
				word += n;
				break;
			}
		}
		vt_buf_str(line, !strcmp(word, "/pfs/out") ? "[OUT]" : word);
	}
}

static struct vt_json *boutiques_descriptor(const struct vt_pipeline *pipeline)
{
	struct vt_json *d = vt_json_new(VT_JSON_OBJECT), *image = vt_json_new(VT_JSON_OBJECT),
		       *file = vt_json_new(VT_JSON_OBJECT);
	struct boutiques b = { vt_json_new(VT_JSON_ARRAY), VT_STRS_INIT, VT_STRS_INIT };
	struct vt_buf line = VT_BUF_INIT;
	vt_input_leaves(pipeline->input, boutiques_leaf, &b);
	vt_json_push(b.inputs, boutiques_input("out", "output directory", "[OUT]", "String"));
	boutiques_command(&line, pipeline, &b);
	vt_json_put_text(d, "name", pipeline->name);
	vt_json_put_text(d, "description",
		vt_json_text(vt_json_get(pipeline->json, "description"), pipeline->name));
	vt_json_put_text(d, "tool-version", "1");
	vt_json_put_text(d, "schema-version", "0.5");
	vt_json_put_text(d, "command-line", line.data);
	vt_json_put_text(image, "type", "docker");
	vt_json_put_text(image, "image",
		vt_json_text(vt_json_get(pipeline->transform, "image"), ""));
	vt_json_put(d, "container-image", image);
	vt_json_put(d, "inputs", b.inputs);
	vt_json_put_text(file, "id", "outdir");
	vt_json_put_text(file, "name", "output directory");
	vt_json_put_text(file, "path-template", "[OUT]");
	struct vt_json *files = vt_json_new(VT_JSON_ARRAY);
	vt_json_push(files, file);
	vt_json_put(d, "output-files", files);
	vt_buf_release(&line);
	vt_strs_release(&b.from);
	vt_strs_release(&b.to);
	return d;
}

int vt_emit_boutiques(struct vt_buf *out, const struct vt_spec *spec, struct vt_err *err)
{
	(void)err;
	for (size_t i = 0; i < spec->n; i++) {
		struct vt_json *d = boutiques_descriptor(&spec->pipeline[spec->order[i]]);
		vt_json_compact(out, d);
		vt_buf_char(out, '\n');
		vt_json_free(d);
	}
	return 0;
}
