/* Weights of a file matched with a network's by name.
 *
 * All known prefixes are tried, and the one with most matches is taken for the whole file
 * (choose_form). Every weight must then be found with its shape and every tensor of the file have a
 * place, except for the parts that the caller leaves out; only after that is a value copied. The
 * session changes only if everything fits. */
#include "common/nn/weights.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/nn/safetensors.h"
#include "common/nn/state_file.h"

/* What stands before our name in the file; "layers" numbers MeshNet's layers in place of our
 * model.<i>.0 and model.<last>. */
static const char *const forms[] = { "", "module.", "model.", "network.", "net.", "_orig_mod.",
	"module.model.", "layers" };

enum { N_FORMS = sizeof(forms) / sizeof(forms[0]), LAYERS = N_FORMS - 1 };

struct load {
	struct vt_session *s;
	const struct vt_weights_opts *o;
	struct vt_weights_report *report;
	struct vt_state_file file;
	const char *path;
	int form;
	/* into file.tensor */
	const struct vt_state_tensor **from; /* [weights]; NULL: stays */
	bool *used;                          /* [tensors] */
	struct vt_err *err;
};

static struct vt_buf file_name(const char *ours, int form)
{
	struct vt_buf b = VT_BUF_INIT;
	int i, n = 0;

	/* "%n" is set only if all before it matched */
	if (form != LAYERS)
		vt_buf_printf(&b, "%s%s", forms[form], ours);
	else if (sscanf(ours, "model.%d.0.%n", &i, &n) == 1 && n)
		vt_buf_printf(&b, "layers.%d.%s", i, ours + n);
	else if (sscanf(ours, "model.%d.%n", &i, &n) == 1 && n)
		vt_buf_printf(&b, "layers.%d.%s", i, ours + n);
	else
		vt_buf_str(&b, ours);
	return b;
}

static const struct vt_state_tensor *lookup(const struct load *load, const char *ours, int form)
{
	struct vt_buf b = file_name(ours, form);
	const struct vt_state_tensor *t = vt_state_find(&load->file, b.data);

	vt_buf_release(&b);
	return t;
}

static void choose_form(struct load *load)
{
	size_t best = 0;

	for (int f = 0; f < N_FORMS; f++) {
		size_t n = 0;

		for (int i = 0; i < vt_session_n_weights(load->s); i++)
			n += lookup(load, vt_session_weight(load->s, i)->name, f) != NULL;
		/* The first of equals wins, the plain form before all. */
		if (n > best) {
			best = n;
			load->form = f;
		}
	}
}

static int check_axes(const struct load *load)
{
	if (load->form != LAYERS || load->o->kernels != VT_KERNELS_OPEN)
		return 0;
	return vt_err_set(load->err, VT_EDATA,
		"%s: the weights are named layers.<i>. as brainchop's, whose kernels are stored "
		"x, y, z and not z, y, x as here; make a checkpoint of them with import-model, "
		"which turns them, and give that",
		load->path);
}

static bool left(const struct load *load, const char *name)
{
	for (size_t i = 0; load->o->leave && load->o->leave[i]; i++) {
		size_t n = strlen(load->o->leave[i]);

		/* a whole name, or what stands before a dot */
		if (n && !strncmp(name, load->o->leave[i], n) &&
			(!name[n] || name[n] == '.' || name[n - 1] == '.'))
			return true;
	}
	return false;
}

/* Tensors that hold nothing of their own: batch norms' counters, nnU-Net's second names. */
static bool idle(const char *name)
{
	size_t n = strlen(name), tail = strlen("num_batches_tracked");

	return (n >= tail && !strcmp(name + n - tail, "num_batches_tracked")) ||
		strstr(name, ".all_modules.") || strstr(name, "decoder.encoder.");
}

static bool same_shape(const struct vt_weight *weight, const struct vt_state_tensor *tensor)
{
	if (weight->n_dims != tensor->n_dims)
		return false;
	for (int i = 0; i < tensor->n_dims; i++)
		if (weight->dims[i] != tensor->dims[i])
			return false;
	return true;
}

/* The file's kernel is for one channel, the network's for several, and they differ in nothing
 * else. */
static bool repeatable(const struct load *load, const struct vt_weight *weight,
	const struct vt_state_tensor *tensor)
{
	/* With one channel more in common the shapes must be equal. */
	struct vt_state_tensor wide = *tensor;

	if (!load->o->repeat_input || weight->n_dims != 5 || tensor->n_dims != 5 ||
		tensor->dims[1] != 1)
		return false;
	wide.dims[1] = weight->dims[1];
	return same_shape(weight, &wide);
}

static void print_shape(struct vt_buf *buf, const int *dims, const int64_t *wide, int n)
{
	vt_buf_char(buf, '[');
	for (int i = 0; i < n; i++)
		vt_buf_printf(buf, "%s%lld", i ? ", " : "",
			dims ? (long long)dims[i] : (long long)wide[i]);
	vt_buf_char(buf, ']');
}

static int wrong_shape(const struct load *load, const struct vt_weight *weight,
	const struct vt_state_tensor *tensor)
{
	struct vt_buf b = VT_BUF_INIT;
	int rc;

	print_shape(&b, weight->dims, NULL, weight->n_dims);
	vt_buf_str(&b, " in the network and ");
	print_shape(&b, NULL, tensor->dims, tensor->n_dims);
	rc = vt_err_set(load->err, VT_EDATA,
		"%s: %s has the shape %s in the file; check the network's params, or leave "
		"this part out",
		load->path, weight->name, b.data);
	vt_buf_release(&b);
	return rc;
}

/* Every weight gets its tensor or is left; sets used[]. */
static int match(struct load *load)
{
	size_t missing = 0, homeless = 0;
	const char *first_missing = NULL, *first_homeless = NULL;

	for (int i = 0; i < vt_session_n_weights(load->s); i++) {
		const struct vt_weight *w = vt_session_weight(load->s, i);
		const struct vt_state_tensor *t =
			left(load, w->name) ? NULL : lookup(load, w->name, load->form);

		if (t && !same_shape(w, t) && !repeatable(load, w, t))
			return wrong_shape(load, w, t);
		if (t) {
			load->from[i] = t;
			load->used[t - load->file.tensor] = true;
			load->report->matched++;
			load->report->repeated += !same_shape(w, t);
		} else if (left(load, w->name)) {
			load->report->left++;
		} else if (!missing++) {
			first_missing = w->name;
		}
	}
	for (size_t i = 0; i < load->file.n; i++) {
		const char *name = load->file.tensor[i].name, *bare = name;
		/* "layers" is a numbering, not a prefix. */
		size_t prefix = load->form == LAYERS ? 0 : strlen(forms[load->form]);

		if (!strncmp(name, forms[load->form], prefix))
			bare += prefix;
		if (load->used[i])
			continue;
		if (idle(name) || left(load, bare))
			load->report->ignored++;
		else if (!homeless++)
			first_homeless = name;
	}
	if (!missing && !homeless)
		return 0;
	return vt_err_set(load->err, VT_EDATA,
		"%s: of the network's %d weights %zu are not in the file%s%s, and of the "
		"file's %zu tensors %zu have no place%s%s; "
		"check network and params, or name with --reinitialize the part to leave out",
		load->path, vt_session_n_weights(load->s), missing, missing ? ", first " : "",
		missing ? first_missing : "", load->file.n, homeless, homeless ? ", first " : "",
		homeless ? first_homeless : "");
}

/* [.., x, y, z] to [.., z, y, x] for each pair of channels. */
static void turn(float *v, const struct vt_weight *weight)
{
	int k = weight->dims[2];
	size_t taps = (size_t)(k * k * k);
	float *t = vt_xmalloc(taps * sizeof(*t));

	assert(weight->n % taps == 0);
	for (size_t c = 0; c < weight->n; c += taps) {
		memcpy(t, v + c, taps * sizeof(*t));
		for (int i = 0; i < k * k * k; i++)
			/* t[i] is tap (x, y, z) = (i / k^2, i / k % k, i % k) */
			v[c + (size_t)((i % k * k + i / k % k) * k + i / (k * k))] = t[i];
	}
	free(t);
}

/* One kernel a filter to in_c of them, each divided by in_c; v has room. */
static void repeat(float *v, const struct vt_weight *weight)
{
	size_t in_c = (size_t)weight->dims[1], taps = weight->n / in_c / (size_t)weight->dims[0];

	assert(weight->dims[0] > 0 && taps > 0);
	/* Backwards: a value is read before its place is written over. */
	for (size_t o = (size_t)weight->dims[0]; o-- > 0;)
		for (size_t t = taps; t-- > 0;) {
			float x = v[o * taps + t] / (float)in_c;

			for (size_t i = in_c; i-- > 0;)
				v[(o * in_c + i) * taps + t] = x;
		}
}

/* All values are read before any weight is changed. */
static int copy(struct load *load)
{
	size_t total = 0, at = 0;
	float *values;
	int rc = 0, n = vt_session_n_weights(load->s);

	for (int i = 0; i < n; i++)
		total += load->from[i] ? vt_session_weight(load->s, i)->n : 0;
	/* malloc: the size comes from a file, and lack of memory is an answer */
	values = malloc((total + 1) * sizeof(*values));
	if (!values)
		return vt_err_nomem(load->err, total * sizeof(*values));
	for (int i = 0; !rc && i < n; i++) {
		const struct vt_weight *w = vt_session_weight(load->s, i);

		if (!load->from[i])
			continue;
		rc = vt_state_copy(load->from[i], values + at, load->err)
			? vt_err_prefix(load->err, "%s", load->path)
			: 0;
		if (!rc && load->from[i]->n != w->n)
			repeat(values + at, w);
		if (!rc && load->o->kernels == VT_KERNELS_XYZ && w->n_dims == 5)
			turn(values + at, w);
		at += w->n;
	}
	at = 0;
	for (int i = 0; !rc && i < n; i++)
		if (load->from[i]) {
			struct vt_weight *w = vt_session_weight(load->s, i);

			memcpy(w->value, values + at, w->n * sizeof(*values));
			at += w->n;
		}
	free(values);
	return rc;
}

int vt_weights_load(struct vt_session *session, const char *path,
	const struct vt_weights_opts *opts, struct vt_weights_report *report, struct vt_err *err)
{
	struct vt_weights_opts none = { .leave = NULL };
	struct vt_weights_report facts = { .matched = 0 };
	struct load l = { .s = session,
		.o = opts ? opts : &none,
		.report = &facts,
		.path = path,
		.err = err };
	int rc = vt_state_open(&l.file, path, err);

	if (rc)
		return rc;
	l.from = vt_xcalloc((size_t)vt_session_n_weights(session) + 1, sizeof(*l.from));
	l.used = vt_xcalloc(l.file.n + 1, sizeof(*l.used));
	choose_form(&l);
	facts.format = l.file.format;
	facts.form = forms[l.form];
	rc = check_axes(&l);
	if (!rc)
		rc = match(&l);
	if (!rc)
		rc = copy(&l);
	if (!rc && report)
		*report = facts;
	free(l.from);
	free(l.used);
	vt_state_close(&l.file);
	return rc;
}

int vt_weights_save(const char *path, struct vt_session *session, const struct vt_json *metadata,
	struct vt_err *err)
{
	int n = vt_session_n_weights(session), rc;
	struct vt_tensor_entry *e = vt_xcalloc((size_t)n, sizeof(*e));

	for (int i = 0; i < n; i++) {
		const struct vt_weight *w = vt_session_weight(session, i);

		e[i] = (struct vt_tensor_entry){ .name = w->name,
			.n_dims = w->n_dims,
			.data = w->value };
		memcpy(e[i].dims, w->dims, sizeof(e[i].dims));
	}
	rc = vt_safetensors_write(path, e, (size_t)n, metadata, err);
	free(e);
	return rc;
}
