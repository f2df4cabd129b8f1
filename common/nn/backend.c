/* A device behind a plugin, and the GPU half of a session.
 *
 * The plugin is opened once per device with dlopen. Its table is checked against this program's
 * interface version and layout before any function is called. vt_remote_* call the table and keep
 * the first error until vt_remote_error is asked, so a pass is written without checks. */
#include "common/nn/backend.h"

#include <assert.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/base/log.h"

const char *const vt_device_wishes[] = { "cpu", "cuda", "auto", NULL };
const char *const vt_device_precisions[] = { "default", "f32", "tf32", "bf16", "fp16", NULL };
const char *const vt_segment_precisions[] = { "default", "f32", "tf32", "bf16", "fp16", "int8",
	NULL };

struct vt_device {
	const struct vt_backend *b;
	/* library: of dlopen; self: the plugin's own device */
	void *library, *self;
};

/* --- finding and opening a plugin ---------------------------------------- */

/* Where the plugin is, NULL if nowhere; `looked` lists the places. */
static char *find_plugin(struct vt_buf *looked)
{
	static const char *const beside[] = { "", "../lib/voxtrail/" };
	const char *given = getenv("VOXTRAIL_PLUGIN");
	struct vt_err ignored = VT_ERR_INIT;
	char *self, *slash;

	if (given && *given) {
		vt_buf_printf(looked, "$VOXTRAIL_PLUGIN = %s", given);
		return vt_fs_exists(given) ? vt_xstrdup(given) : NULL;
	}
	/* Beside the program, then where `make install` puts it. */
	self = vt_fs_realpath("/proc/self/exe", &ignored);
	slash = self ? strrchr(self, '/') : NULL;
	for (size_t i = 0; slash && i < sizeof(beside) / sizeof(beside[0]); i++) {
		char *path = vt_asprintf("%.*s/%slibvoxtrail-cuda.so", (int)(slash - self), self,
			beside[i]);

		vt_buf_printf(looked, "%s%s", looked->len ? ", " : "", path);
		if (vt_fs_exists(path)) {
			free(self);
			return path;
		}
		free(path);
	}
	free(self);
	return NULL;
}

static int check_table(const struct vt_backend *backend, const char *path, struct vt_err *err)
{
	if (!backend)
		return vt_err_set(err, VT_EDEVICE, "the plugin %s offers no backend", path);
	if (backend->abi != VT_BACKEND_ABI)
		return vt_err_set(err, VT_EDEVICE,
			"the plugin %s speaks version %u of the interface, this program %d; "
			"build both from one source",
			path, (unsigned)backend->abi, VT_BACKEND_ABI);
	if (backend->layout != VT_BACKEND_LAYOUT)
		return vt_err_set(err, VT_EDEVICE,
			"the plugin %s was built from other sources than this program "
			"(layout %08x, want %08x); build both from one source",
			path, (unsigned)backend->layout, (unsigned)VT_BACKEND_LAYOUT);
	return 0;
}

/* The table may be called only after check_table. */
static int load_plugin(struct vt_device *device, struct vt_err *err)
{
	struct vt_buf looked = VT_BUF_INIT;
	char *path = find_plugin(&looked);
	vt_backend_fn get = NULL;
	void *symbol;
	int rc = 0;

	if (!path)
		rc = vt_err_set(err, VT_EDEVICE,
			"the plugin libvoxtrail-cuda.so is missing (looked for %s); build it "
			"with `make` where nvcc is, or set VOXTRAIL_PLUGIN",
			looked.data ? looked.data : "nothing");
	if (!rc) {
		/* it stays loaded: the CUDA runtime in it has destructors for threads that end
		 * later */
		device->library = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
		if (!device->library)
			rc = vt_err_set(err, VT_EDEVICE, "the plugin cannot be loaded: %s",
				dlerror());
	}
	if (!rc) {
		symbol = dlsym(device->library, VT_BACKEND_SYMBOL);
		/* ISO C has no cast from an object pointer to a function pointer. */
		memcpy(&get, &symbol, sizeof(get));
		rc = get ? check_table(get(), path, err)
			 : vt_err_set(err, VT_EDEVICE,
				   "the plugin %s has no symbol %s: it is not a plugin of voxtrail",
				   path, VT_BACKEND_SYMBOL);
	}
	if (!rc)
		device->b = get();
	vt_buf_release(&looked);
	free(path);
	return rc;
}

/* An engine plan, or the directory of the run that wrote it; or the wish to make one. */
static int read_engines(struct vt_buf *out, const char *path, struct vt_err *err)
{
	char *file = vt_fs_is_dir(path) ? vt_path_join(path, "engines.json") : vt_xstrdup(path);
	struct vt_json *plan = NULL;
	int rc = 0;

	/* "tune:5" instead of a path */
	if (!strncmp(path, VT_ENGINES_TUNE, strlen(VT_ENGINES_TUNE))) {
		vt_buf_printf(out, "{\"tune\":%ld}",
			strtol(path + strlen(VT_ENGINES_TUNE), NULL, 10));
	} else {
		rc = vt_fs_read(out, file, 16u << 20, err);
		if (!rc)
			rc = vt_json_parse(&plan, out->data, out->len, file, err);
		if (!rc && vt_json_get(plan, "tune"))
			rc = vt_err_set(err, VT_EDATA,
				"%s is a wish to tune and no engine plan: make one first "
				"(docs/gpu.md)",
				file);
	}
	vt_json_free(plan);
	free(file);
	return rc;
}

static int open_plugin(struct vt_device **out, const struct vt_device_opts *opts,
	struct vt_err *err)
{
	struct vt_device *d = vt_xcalloc(1, sizeof(*d));
	struct vt_buf engines = VT_BUF_INIT;
	/* the plugin's own default */
	bool own = !opts->precision || !strcmp(opts->precision, "default");
	int rc = load_plugin(d, err);

	if (!rc && opts->engines)
		rc = read_engines(&engines, opts->engines, err);
	if (!rc)
		rc = d->b->open(&d->self, own ? NULL : opts->precision, opts->cards, engines.data,
			err);
	vt_buf_release(&engines);
	if (rc)
		vt_device_close(d);
	else
		*out = d;
	return rc;
}

static bool cpu_computes(const struct vt_device_opts *opts)
{
	if (!opts->precision || !strcmp(opts->precision, "default") ||
		!strcmp(opts->precision, "f32"))
		return true;
	return opts->segments &&
		(!strcmp(opts->precision, "bf16") || !strcmp(opts->precision, "int8"));
}

int vt_device_open(struct vt_device **out, const struct vt_device_opts *opts, struct vt_err *err)
{
	struct vt_json *about;
	int rc;

	bool int8 =
		opts->precision && !strcmp(opts->precision, vt_segment_precisions[VT_SEGMENT_INT8]);

	*out = NULL;
	if (int8 && opts->wish != VT_DEVICE_CPU)
		return vt_err_set(err, VT_EUSAGE,
			"precision int8: computed on the CPU; leave --device %s out",
			vt_device_wishes[opts->wish]);
	if (opts->wish == VT_DEVICE_CPU && !cpu_computes(opts))
		return vt_err_set(err, VT_EUSAGE,
			"precision %s: the CPU computes in f32%s here; other precisions need "
			"--device cuda",
			opts->precision, opts->segments ? ", bf16 or int8" : "");
	if (opts->wish == VT_DEVICE_CPU && opts->cards > 1)
		return vt_err_set(err, VT_EUSAGE,
			"%d GPUs were asked for on the CPU; they need --device cuda", opts->cards);
	if (opts->wish == VT_DEVICE_CPU)
		return 0;
	rc = open_plugin(out, opts, err);
	if (rc)
		return vt_err_prefix(err, "device cuda");
	about = vt_device_describe(*out);
	vt_log(VT_LOG_INFO, "device", "name=\"%s\" precision=%s gpu=\"%s\"", vt_device_name(*out),
		vt_json_text(vt_json_get(about, "precision"), ""),
		vt_json_text(vt_json_get(about, "card"), ""));
	vt_json_free(about);
	return 0;
}

void vt_device_settle(int64_t *wish)
{
	struct vt_device *d = NULL;
	struct vt_err why = VT_ERR_INIT;

	if (*wish != VT_DEVICE_AUTO)
		return;
	/* Opened for the question alone, closed below. */
	*wish = open_plugin(&d, &(struct vt_device_opts){ .wish = VT_DEVICE_CUDA }, &why)
		? VT_DEVICE_CPU
		: VT_DEVICE_CUDA;
	if (*wish == VT_DEVICE_CPU)
		vt_log(VT_LOG_INFO, "device", "asked=auto chosen=cpu because=\"%s\"", why.text);
	else
		vt_log(VT_LOG_INFO, "device", "asked=auto chosen=%s", vt_device_name(d));
	vt_device_close(d);
}

void vt_device_close(struct vt_device *device)
{
	if (!device)
		return;
	if (device->self)
		device->b->close(device->self);
	if (device->library)
		dlclose(device->library);
	free(device);
}

const char *vt_device_name(const struct vt_device *device)
{
	return device ? device->b->name : "cpu";
}

struct vt_json *vt_device_engines(const struct vt_device *device)
{
	struct vt_json *j, *engines;

	if (!device)
		return NULL;
	j = vt_device_describe(device);
	engines = vt_json_get(j, "engines") ? vt_json_copy(vt_json_get(j, "engines"))
					    : vt_json_new(VT_JSON_OBJECT);
	vt_json_free(j);
	return engines;
}

struct vt_json *vt_device_describe(const struct vt_device *device)
{
	struct vt_buf text = VT_BUF_INIT;
	struct vt_err ignored = VT_ERR_INIT;
	struct vt_json *j = NULL;

	if (device)
		device->b->describe(device->self, &text);
	if (!device || vt_json_parse(&j, text.data, text.len, "device", &ignored) ||
		j->type != VT_JSON_OBJECT) {
		vt_json_free(j);
		j = vt_json_new(VT_JSON_OBJECT);
	}
	vt_json_put_text(j, "name", vt_device_name(device));
	if (!vt_json_get(j, "precision"))
		vt_json_put_text(j, "precision", "f32");
	vt_buf_release(&text);
	return j;
}

/* --- a session's half on a device ---------------------------------------- */

struct vt_remote {
	struct vt_device *d;
	void *self;
	float *values, *grads; /* the host's arrays, borrowed */
	bool keeps_statistics; /* a training pass changes weights on the device: batch norm's */
	bool device_newer, grads_newer;   /* a touch brings what is newer */
	bool host_touched, grads_touched; /* a touch before the next work: it is sent */
	pthread_mutex_t lock; /* of these flags: weights are touched from several threads */
	struct vt_err err;
};

static bool has_statistics(const struct vt_graph *graph)
{
	for (int i = 0; i < graph->n_nodes; i++)
		if (graph->node[i].op == VT_OP_NORM && graph->node[i].norm.kind == VT_NORM_BATCH)
			return true;
	return false;
}

int vt_remote_new(struct vt_remote **out, struct vt_device *device, const struct vt_graph *graph,
	const struct vt_session_opts *opts, float *values, float *grads, struct vt_err *err)
{
	struct vt_remote *r = vt_xcalloc(1, sizeof(*r));
	int rc = device->b->session_new(&r->self, device->self, graph, opts, err);

	if (rc) {
		free(r);
		return vt_err_prefix(err, "device %s", device->b->name);
	}
	assert(values && (grads || !opts->training));
	r->d = device;
	r->values = values;
	r->grads = grads;
	r->keeps_statistics = opts->training && has_statistics(graph);
	/* The first pass sends the initial weights. */
	r->host_touched = true;
	pthread_mutex_init(&r->lock, NULL);
	*out = r;
	return 0;
}

void vt_remote_free(struct vt_remote *remote)
{
	if (!remote)
		return;
	remote->d->b->session_free(remote->self);
	pthread_mutex_destroy(&remote->lock);
	free(remote);
}

const struct vt_err *vt_remote_error(const struct vt_remote *remote)
{
	return remote->err.code ? &remote->err : NULL;
}

void vt_remote_touch(struct vt_remote *remote)
{
	pthread_mutex_lock(&remote->lock);
	/* The lock is held over the copy: a second thread must not read half of it. */
	if (remote->device_newer && !remote->err.code)
		remote->d->b->get_weights(remote->self, remote->values, &remote->err);
	if (remote->grads_newer && !remote->err.code)
		remote->d->b->get_grads(remote->self, remote->grads, &remote->err);
	remote->grads_touched |= remote->grads_newer;
	remote->device_newer = remote->grads_newer = false;
	remote->host_touched = true;
	pthread_mutex_unlock(&remote->lock);
}

/* What the host may have changed. */
static void send(struct vt_remote *remote, bool gradients)
{
	if (remote->host_touched && !remote->err.code)
		remote->d->b->put_weights(remote->self, remote->values, &remote->err);
	if (remote->grads_touched && gradients && !remote->err.code)
		remote->d->b->put_grads(remote->self, remote->grads, &remote->err);
	/* Before a forward pass gradients are not sent: the backward pass that follows replaces
	 * them. */
	remote->host_touched = remote->grads_touched = false;
}

void vt_remote_set_input(struct vt_remote *remote, const float *x)
{
	if (!remote->err.code)
		remote->d->b->set_input(remote->self, x, &remote->err);
}

void vt_remote_forward(struct vt_remote *remote, uint64_t step)
{
	send(remote, false);
	if (!remote->err.code)
		remote->d->b->forward(remote->self, step, &remote->err);
	/* Batch norm's running statistics changed on the device. */
	remote->device_newer |= remote->keeps_statistics;
}

void vt_remote_get_output(struct vt_remote *remote, int i, float *y)
{
	if (!remote->err.code)
		remote->d->b->get_output(remote->self, i, y, &remote->err);
}

void vt_remote_backward(struct vt_remote *remote, const float *const *dy)
{
	if (!remote->err.code)
		remote->d->b->backward(remote->self, dy, &remote->err);
	remote->grads_newer = true;
	assert(remote->grads);
	/* What the host did to older gradients is overwritten. */
	remote->grads_touched = false;
}

void vt_remote_set_target(struct vt_remote *remote, const uint8_t *target)
{
	if (!remote->err.code)
		remote->d->b->set_target(remote->self, target, &remote->err);
}

double vt_remote_loss(struct vt_remote *remote, int i, const struct vt_loss *loss, double weight)
{
	double value = 0;

	if (!remote->err.code)
		remote->d->b->loss(remote->self, i, loss, weight, &value, &remote->err);
	return value;
}

double vt_remote_square(struct vt_remote *remote, int i, bool of_input, double weight)
{
	double value = 0;

	if (!remote->err.code)
		remote->d->b->square(remote->self, i, of_input, weight, &value, &remote->err);
	return value;
}

void vt_remote_rates(struct vt_remote *remote, const float *factor)
{
	if (!remote->err.code)
		remote->d->b->rates(remote->self, factor, &remote->err);
}

double vt_remote_norm(struct vt_remote *remote)
{
	double norm = 0;

	send(remote, true);
	if (!remote->err.code)
		remote->d->b->norm(remote->self, &norm, &remote->err);
	return norm;
}

void vt_remote_accumulate(struct vt_remote *remote, bool first, bool last)
{
	send(remote, true);
	if (!remote->err.code)
		remote->d->b->accumulate(remote->self, first, last, &remote->err);
	remote->grads_newer = true;
}

void vt_remote_curvature(struct vt_remote *remote, double *sy, double *ss)
{
	*sy = *ss = 0;
	send(remote, true);
	if (!remote->err.code)
		remote->d->b->curvature(remote->self, sy, ss, &remote->err);
}

void vt_remote_update(struct vt_remote *remote, const struct vt_update *update)
{
	send(remote, true);
	if (!remote->err.code)
		remote->d->b->update(remote->self, update, &remote->err);
	remote->device_newer = true;
}

void vt_remote_average(struct vt_remote *remote, double share)
{
	send(remote, true);
	if (!remote->err.code)
		remote->d->b->average(remote->self, share, &remote->err);
}

bool vt_remote_keep(struct vt_remote *remote, int item, int id, const struct vt_volume_ref *ref)
{
	bool kept = false;

	return !remote->err.code &&
		!remote->d->b->keep(remote->self, item, id, ref, &kept, &remote->err) && kept;
}

void vt_remote_draw(struct vt_remote *remote, int item, int id, const struct vt_patch_ref *ref)
{
	if (!remote->err.code)
		remote->d->b->draw(remote->self, item, id, ref, &remote->err);
}

void vt_remote_put_slot(struct vt_remote *remote, int slot, const float *values)
{
	if (!remote->err.code)
		remote->d->b->put_slot(remote->self, slot, values, &remote->err);
}

void vt_remote_get_slot(struct vt_remote *remote, int slot, float *values)
{
	if (!remote->err.code)
		remote->d->b->get_slot(remote->self, slot, values, &remote->err);
}

/* --- a volume on a session's device -------------------------------------- */

struct vt_remote_volume {
	const struct vt_backend *b;
	void *self;
};

int vt_remote_volume_new(struct vt_remote_volume **out, struct vt_remote *remote,
	const struct vt_volume_ref *about, int outputs, enum vt_join join, struct vt_err *err)
{
	void *self = NULL;
	int rc = remote->d->b->volume_new(&self, remote->d->self, about, outputs, join, err);

	*out = NULL;
	/* No room: no volume, and no error. */
	if (!rc && self) {
		*out = vt_xcalloc(1, sizeof(**out));
		**out = (struct vt_remote_volume){ remote->d->b, self };
	}
	return rc;
}

int vt_remote_volume_add(struct vt_remote_volume *volume, struct vt_remote *remote,
	const struct vt_windows *windows, struct vt_err *err)
{
	send(remote, false);
	if (!remote->err.code)
		volume->b->volume_add(volume->self, remote->self, windows, &remote->err);
	if (remote->err.code)
		*err = remote->err;
	return remote->err.code;
}

int vt_remote_volume_answer(struct vt_remote_volume *volume, enum vt_rule rule, uint8_t *out,
	struct vt_err *err)
{
	return volume->b->volume_answer(volume->self, rule, out, err);
}

int vt_remote_volume_values(struct vt_remote_volume *volume, float *out, struct vt_err *err)
{
	return volume->b->volume_values(volume->self, out, err);
}

void vt_remote_volume_free(struct vt_remote_volume *volume)
{
	if (volume)
		volume->b->volume_free(volume->self);
	free(volume);
}
