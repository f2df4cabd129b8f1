/* What a container of an emitted workflow runs, with what, where and as whom. */
#include <stdlib.h>
#include <string.h>

#include "pipelines/emit/emit_internal.h"

/* Engines know exit status 0 only, so further accepted ones are turned into it; stdin travels
 * in a variable.  Behind the program its output is looked at, where the image has voxtrail, and
 * marked as whole: Argo uploads what a failed try left as well. */
void vt_argo_command(struct vt_json *container, const struct vt_pipeline *pipeline,
	struct vt_json *env)
{
	const struct vt_json *cmd = vt_json_get(pipeline->transform, "cmd"),
			     *accept = vt_json_get(pipeline->transform, "acceptReturnCode");
	const struct vt_json *in = vt_json_get(pipeline->transform, "stdin");
	struct vt_json *first = vt_json_new(VT_JSON_ARRAY), *args = vt_json_new(VT_JSON_ARRAY);
	struct vt_buf script = VT_BUF_INIT, text = VT_BUF_INIT;

	vt_buf_str(&script, in ? "printf %s \"$VOXTRAIL_STDIN\" | " : "");
	vt_buf_str(&script, "env \"$@\"; rc=$?; case $rc in 0");
	for (size_t i = 0; accept && i < accept->n; i++)
		if (vt_json_integer(accept->item[i], 0))
			vt_buf_printf(&script, "|%lld",
				(long long)vt_json_integer(accept->item[i], 0));
	vt_buf_printf(&script,
		") ;; *) exit $rc ;; esac; if command -v voxtrail >/dev/null; then voxtrail record "
		"/pfs/.spec/spec.json --pipeline %s --in /pfs --out /pfs/out --code $rc || exit; "
		"fi; : >/pfs/out/.voxtrail-done",
		pipeline->name);
	for (size_t i = 0; in && i < in->n; i++)
		vt_buf_printf(&text, "%s\n", vt_json_text(in->item[i], ""));
	if (in)
		vt_json_push(env, vt_argo_pair("VOXTRAIL_STDIN", text.data ? text.data : ""));
	vt_emit_push_text(first, "/bin/sh");
	vt_emit_push_text(args, "-c");
	vt_emit_push_text(args, script.data);
	vt_emit_push_text(args, "sh");
	for (size_t i = 0; cmd && i < cmd->n; i++)
		vt_emit_push_text(args, vt_json_text(cmd->item[i], ""));
	vt_buf_release(&script);
	vt_buf_release(&text);
	vt_json_put(container, "command", first);
	vt_json_put(container, "args", args);
}

static void resource_list(struct vt_json *to, const struct vt_json *json)
{
	char number[32];
	if (vt_json_get(json, "cpu")) {
		vt_json_real_text(number, vt_json_number(vt_json_get(json, "cpu"), 0));
		vt_json_put_text(to, "cpu", number);
	}
	if (vt_json_get(json, "memory"))
		vt_json_put(to, "memory", vt_json_copy(vt_json_get(json, "memory")));
	if (vt_json_get(json, "disk"))
		vt_json_put(to, "ephemeral-storage", vt_json_copy(vt_json_get(json, "disk")));
	if (vt_json_get(json, "gpu")) {
		char *n = vt_asprintf("%lld",
			(long long)vt_json_integer(vt_json_pointer(json, "/gpu/number"), 0));
		vt_json_put_text(to,
			vt_json_text(vt_json_pointer(json, "/gpu/type"), "nvidia.com/gpu"), n);
		free(n);
	}
}

void vt_argo_resources(struct vt_json *container, const struct vt_pipeline *pipeline)
{
	static const char *const names[][2] = { { "resourceRequests", "requests" },
		{ "resourceLimits", "limits" } };
	struct vt_json *r = vt_json_new(VT_JSON_OBJECT);
	for (size_t i = 0; i < 2; i++)
		if (vt_json_get(pipeline->json, names[i][0])) {
			struct vt_json *list = vt_json_new(VT_JSON_OBJECT);
			resource_list(list, vt_json_get(pipeline->json, names[i][0]));
			vt_json_put(r, names[i][1], list);
		}
	vt_json_put(container, "resources", r);
}

void vt_argo_retry(struct vt_json *value, const struct vt_pipeline *pipeline)
{
	struct vt_json *r = vt_json_new(VT_JSON_OBJECT);
	char *limit = vt_asprintf("%lld", pipeline->tries - 1);
	vt_json_put_text(r, "limit", limit);
	vt_json_put_text(r, "retryPolicy", "Always");
	vt_json_put_text(r, "expression", "asInt(lastRetry.exitCode) != 65");
	vt_json_put(value, "retryStrategy", r);
	free(limit);
	if (pipeline->datum_timeout > 0) {
		char *seconds = vt_asprintf("%.0f", pipeline->datum_timeout);
		vt_json_put_text(value, "activeDeadlineSeconds", seconds);
		free(seconds);
	}
}

/* The words of Kubernetes for those of Pachyderm, which may also be given as Kubernetes writes
 * them. */
static struct vt_json *tolerations_list(const struct vt_json *list)
{
	static const char *const words[][2] = { { "EXISTS", "Exists" }, { "EQUAL", "Equal" },
		{ "NO_SCHEDULE", "NoSchedule" }, { "PREFER_NO_SCHEDULE", "PreferNoSchedule" },
		{ "NO_EXECUTE", "NoExecute" } };
	struct vt_json *out = vt_json_new(VT_JSON_ARRAY);
	for (size_t i = 0; i < list->n; i++) {
		struct vt_json *t = vt_json_copy(list->item[i]);
		for (size_t k = 0; k < t->n; k++)
			for (size_t w = 0; w < sizeof words / sizeof *words; w++)
				if (!strcmp(vt_json_text(t->item[k], ""), words[w][0]))
					vt_json_put_text(t, t->key[k], words[w][1]);
		vt_json_push(out, t);
	}
	return out;
}

struct vt_json *vt_argo_pod_security(long long user)
{
	struct vt_json *security = vt_json_new(VT_JSON_OBJECT),
		       *seccomp = vt_json_new(VT_JSON_OBJECT);
	vt_json_put_bool(security, "runAsNonRoot", user != 0);
	vt_json_put_int(security, "runAsUser", user);
	vt_json_put_text(seccomp, "type", "RuntimeDefault");
	vt_json_put(security, "seccompProfile", seccomp);
	return security;
}

struct vt_json *vt_argo_container_security(void)
{
	struct vt_json *security = vt_json_new(VT_JSON_OBJECT),
		       *capabilities = vt_json_new(VT_JSON_OBJECT),
		       *all = vt_json_new(VT_JSON_ARRAY);
	vt_emit_push_text(all, "ALL");
	vt_json_put(capabilities, "drop", all);
	vt_json_put_bool(security, "allowPrivilegeEscalation", false);
	vt_json_put(security, "capabilities", capabilities);
	vt_json_put_bool(security, "readOnlyRootFilesystem", true);
	return security;
}

/* Where it may run, and as whom. */
void vt_argo_scheduling(struct vt_json *value, const struct vt_pipeline *pipeline)
{
	const struct vt_json *spec = vt_json_get(pipeline->json, "schedulingSpec"),
			     *tolerations = vt_json_get(pipeline->json, "tolerations");
	const char *patch = vt_json_text(vt_json_get(pipeline->json, "podPatch"), NULL),
		   *user = vt_json_text(vt_json_get(pipeline->transform, "user"), "");
	if (vt_json_get(spec, "nodeSelector"))
		vt_json_put(value, "nodeSelector", vt_json_copy(vt_json_get(spec, "nodeSelector")));
	if (vt_json_get(spec, "priorityClassName"))
		vt_json_put(value, "priorityClassName",
			vt_json_copy(vt_json_get(spec, "priorityClassName")));
	if (tolerations)
		vt_json_put(value, "tolerations", tolerations_list(tolerations));
	if (patch)
		vt_json_put_text(value, "podSpecPatch", patch);
	if (*user && strspn(user, "0123456789") == strlen(user)) {
		vt_json_put(value, "securityContext",
			vt_argo_pod_security(strtoll(user, NULL, 10)));
	}
}

/* As a variable, or as a directory with one file a key. */
void vt_argo_secrets(struct vt_json *value, struct vt_json *env, struct vt_json *mounts,
	const struct vt_pipeline *pipeline)
{
	const struct vt_json *list = vt_json_get(pipeline->transform, "secrets");
	struct vt_json *volumes = vt_json_new(VT_JSON_ARRAY);
	for (size_t i = 0; list && i < list->n; i++) {
		const char *name = vt_json_text(vt_json_get(list->item[i], "name"), ""),
			   *variable = vt_json_text(vt_json_get(list->item[i], "envVar"), NULL);
		const char *at = vt_json_text(vt_json_get(list->item[i], "mountPath"), NULL);
		struct vt_json *e = vt_json_new(VT_JSON_OBJECT),
			       *from = vt_json_new(VT_JSON_OBJECT),
			       *ref = vt_json_new(VT_JSON_OBJECT), *m = vt_json_new(VT_JSON_OBJECT),
			       *v = vt_json_new(VT_JSON_OBJECT),
			       *source = vt_json_new(VT_JSON_OBJECT);
		char *volume = vt_asprintf("secret-%zu", i);
		vt_json_put_text(ref, "name", name);
		vt_json_put_text(ref, "key", vt_json_text(vt_json_get(list->item[i], "key"), ""));
		vt_json_put(from, "secretKeyRef", ref);
		vt_json_put_text(e, "name", variable ? variable : "");
		vt_json_put(e, "valueFrom", from);
		vt_json_put_text(m, "name", volume);
		vt_json_put_text(m, "mountPath", at ? at : "");
		vt_json_put_text(source, "secretName", name);
		vt_json_put_text(v, "name", volume);
		vt_json_put(v, "secret", source);
		variable ? vt_json_push(env, e) : vt_json_free(e);
		at ? vt_json_push(mounts, m) : vt_json_free(m);
		at ? vt_json_push(volumes, v) : vt_json_free(v);
		free(volume);
	}
	if (volumes->n)
		vt_json_put(value, "volumes", volumes);
	else
		vt_json_free(volumes);
}
