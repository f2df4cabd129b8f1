#include "pipelines/spec/spec_keys.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/opts.h"

enum kind { TEXT = 1, FLAG, WHOLE, NUMBER, SECONDS, QUANTITY, TEXTS, WHOLES, MAP, OBJECT, LIST };

struct key {
	const char *name;
	enum kind kind;
	const struct key *child;
};

/* ends a list of keys */
#define END                                                                                        \
	{                                                                                          \
		NULL, 0, NULL                                                                      \
	}
static const struct key project[] = { { "name", TEXT, NULL }, END };
static const struct key pipeline[] = { { "project", OBJECT, project }, { "name", TEXT, NULL },
	END };
static const struct key secret[] = { { "name", TEXT, NULL }, { "key", TEXT, NULL },
	{ "mountPath", TEXT, NULL }, { "envVar", TEXT, NULL }, END };
static const struct key transform[] = { { "image", TEXT, NULL }, { "cmd", TEXTS, NULL },
	{ "errCmd", TEXTS, NULL }, { "env", MAP, NULL }, { "secrets", LIST, secret },
	{ "imagePullSecrets", TEXTS, NULL }, { "stdin", TEXTS, NULL }, { "errStdin", TEXTS, NULL },
	{ "acceptReturnCode", WHOLES, NULL }, { "debug", FLAG, NULL }, { "user", TEXT, NULL },
	{ "workingDir", TEXT, NULL }, { "dockerfile", TEXT, NULL }, { "memoryVolume", FLAG, NULL },
	{ "datumBatching", FLAG, NULL }, END };
static const struct key trigger[] = { { "branch", TEXT, NULL }, { "all", FLAG, NULL },
	{ "rateLimitSpec", TEXT, NULL }, { "size", TEXT, NULL }, { "commits", WHOLE, NULL },
	{ "cronSpec", TEXT, NULL }, END };
static const struct key propagation[] = { { "never", FLAG, NULL }, END };
static const struct key pfs[] = { { "project", TEXT, NULL }, { "name", TEXT, NULL },
	{ "repo", TEXT, NULL }, { "repoType", TEXT, NULL }, { "branch", TEXT, NULL },
	{ "commit", TEXT, NULL }, { "glob", TEXT, NULL }, { "joinOn", TEXT, NULL },
	{ "outerJoin", FLAG, NULL }, { "groupBy", TEXT, NULL }, { "lazy", FLAG, NULL },
	{ "emptyFiles", FLAG, NULL }, { "s3", FLAG, NULL }, { "trigger", OBJECT, trigger },
	{ "propagationSpec", OBJECT, propagation }, { "reference", FLAG, NULL }, END };
static const struct key cron[] = { { "name", TEXT, NULL }, { "project", TEXT, NULL },
	{ "repo", TEXT, NULL }, { "commit", TEXT, NULL }, { "spec", TEXT, NULL },
	{ "overwrite", FLAG, NULL }, { "start", TEXT, NULL }, END };
static const struct key input[] = { { "pfs", OBJECT, pfs }, { "cron", OBJECT, cron },
	{ "join", LIST, input }, { "group", LIST, input }, { "cross", LIST, input },
	{ "union", LIST, input }, END };
static const struct key gpu[] = { { "type", TEXT, NULL }, { "number", WHOLE, NULL }, END };
static const struct key resources[] = { { "cpu", NUMBER, NULL }, { "memory", QUANTITY, NULL },
	{ "gpu", OBJECT, gpu }, { "disk", QUANTITY, NULL }, END };
static const struct key toleration[] = { { "key", TEXT, NULL }, { "operator", TEXT, NULL },
	{ "value", TEXT, NULL }, { "effect", TEXT, NULL }, { "tolerationSeconds", WHOLE, NULL },
	END };
static const struct key url[] = { { "url", TEXT, NULL }, END };
static const struct key sql_format[] = { { "type", TEXT, NULL }, { "columns", TEXTS, NULL }, END };
static const struct key sql_secret[] = { { "name", TEXT, NULL }, { "key", TEXT, NULL }, END };
static const struct key sql[] = { { "url", TEXT, NULL }, { "fileFormat", OBJECT, sql_format },
	{ "secret", OBJECT, sql_secret }, END };
static const struct key egress[] = { { "URL", TEXT, NULL }, { "objectStorage", OBJECT, url },
	{ "sqlDatabase", OBJECT, sql }, END };
static const struct key service[] = { { "internalPort", WHOLE, NULL },
	{ "externalPort", WHOLE, NULL }, { "ip", TEXT, NULL }, { "type", TEXT, NULL }, END };
static const struct key spout[] = { { "service", OBJECT, service }, END };
static const struct key parallelism[] = { { "constant", WHOLE, NULL }, END };
static const struct key datum_set[] = { { "number", WHOLE, NULL }, { "sizeBytes", WHOLE, NULL },
	{ "perWorker", WHOLE, NULL }, END };
static const struct key scheduling[] = { { "nodeSelector", MAP, NULL },
	{ "priorityClassName", TEXT, NULL }, END };
static const struct key metadata[] = { { "annotations", MAP, NULL }, { "labels", MAP, NULL }, END };
static const struct key determined[] = { { "workspaces", TEXTS, NULL }, END };
static const struct key tf_job[] = { { "tfJob", TEXT, NULL }, END };
static const struct key root[] = { { "pipeline", OBJECT, pipeline }, { "description", TEXT, NULL },
	{ "metadata", OBJECT, metadata }, { "input", OBJECT, input },
	{ "transform", OBJECT, transform }, { "parallelismSpec", OBJECT, parallelism },
	{ "resourceRequests", OBJECT, resources }, { "resourceLimits", OBJECT, resources },
	{ "sidecarResourceLimits", OBJECT, resources },
	{ "sidecarResourceRequests", OBJECT, resources }, { "schedulingSpec", OBJECT, scheduling },
	{ "tolerations", LIST, toleration }, { "podSpec", TEXT, NULL }, { "podPatch", TEXT, NULL },
	{ "datumTries", WHOLE, NULL }, { "datumTimeout", SECONDS, NULL },
	{ "jobTimeout", SECONDS, NULL }, { "datumSetSpec", OBJECT, datum_set },
	{ "reprocessSpec", TEXT, NULL }, { "outputBranch", TEXT, NULL }, { "salt", TEXT, NULL },
	{ "autoscaling", FLAG, NULL }, { "egress", OBJECT, egress }, { "service", OBJECT, service },
	{ "spout", OBJECT, spout }, { "s3Out", FLAG, NULL }, { "tfJob", OBJECT, tf_job },
	{ "determined", OBJECT, determined }, { "maximumExpectedUptime", SECONDS, NULL }, END };

void vt_findings_add(struct vt_findings *findings, enum vt_finding_level level, const char *pointer,
	const char *fmt, ...)
{
	struct vt_buf text = VT_BUF_INIT;
	va_list ap;

	findings->errors += level == VT_FINDING_ERROR;
	findings->warnings += level == VT_FINDING_WARNING;
	/* counted further, but not kept: a broken file may have thousands */
	if ((level == VT_FINDING_ERROR ? findings->errors : findings->warnings) > VT_FINDINGS_KEPT)
		return;
	va_start(ap, fmt);
	vt_buf_vprintf(&text, fmt, ap);
	va_end(ap);
	findings->v = vt_xrealloc(findings->v, (findings->n + 1) * sizeof *findings->v);
	findings->v[findings->n++] =
		(struct vt_finding){ level, vt_xstrdup(pointer), vt_buf_detach(&text) };
}

void vt_findings_release(struct vt_findings *findings)
{
	for (size_t i = 0; i < findings->n; i++) {
		free(findings->v[i].pointer);
		free(findings->v[i].text);
	}
	free(findings->v);
	*findings = (struct vt_findings){ NULL, 0, 0, 0 };
}

bool vt_spec_seconds(const char *text, double *out)
{
	char *end;
	if (!isdigit((unsigned char)text[0]))
		return false;
	*out = strtod(text, &end);
	/* digits and a point alone: no "1e3s", no "infs" */
	return end[0] == 's' && !end[1] && strspn(text, "0123456789.") == (size_t)(end - text);
}

bool vt_spec_quantity(const char *text, double *out)
{
	static const struct {
		const char *suffix;
		double factor;
	} units[] = {
		{ "", 1 },
		{ "k", 1e3 },
		{ "K", 1e3 },
		{ "M", 1e6 },
		{ "G", 1e9 },
		{ "T", 1e12 },
		{ "m", 1e-3 },
		{ "Ki", 1024. },
		{ "Mi", 1048576. },
		{ "Gi", 1073741824. },
		{ "Ti", 1099511627776. },
		{ "KB", 1e3 },
		{ "MB", 1e6 },
		{ "GB", 1e9 },
	};
	char *end;
	if (!isdigit((unsigned char)text[0]))
		return false;
	double v = strtod(text, &end);
	for (size_t i = 0; i < sizeof units / sizeof *units; i++)
		/* strtod stopped at the suffix */
		if (!strcmp(end, units[i].suffix)) {
			*out = v * units[i].factor;
			return true;
		}
	return false;
}

/* data_x_y to dataXY.  "url" of egress keeps the capitals it has in the schema. */
static char *camel(const char *key)
{
	struct vt_buf b = VT_BUF_INIT;
	vt_buf_str(&b, "");
	for (const char *p = key; *p; p++)
		/* an underscore at either end stays */
		if (*p == '_' && p > key && p[1])
			vt_buf_char(&b, (char)toupper((unsigned char)*++p));
		else
			vt_buf_char(&b, *p);
	vt_buf_reserve(&b, 1);
	return vt_buf_detach(&b);
}

static const char *nearest(const struct key *keys, const char *name)
{
	const char *known[64];
	size_t n = 0;

	for (; keys->name && n < sizeof(known) / sizeof(*known); keys++)
		known[n++] = keys->name;
	return vt_opts_nearest(known, n, name);
}

/* What keys of the first major version are called now; NULL: nothing. */
static const char *renamed(const char *name, bool *old)
{
	static const char *const names[][2] = { { "standby", "autoscaling" },
		{ "chunkSpec", "datumSetSpec" }, { "enableStats", NULL }, { "cacheSize", NULL },
		{ "maxQueueSize", NULL }, { "hashtreeSpec", NULL }, { "reprocess", NULL },
		{ "update", NULL }, { "dryRun", NULL }, { "specCommit", NULL } };
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (!strcmp(names[i][0], name)) {
			*old = true;
			return names[i][1];
		}
	return NULL;
}

static const char *type_name(const struct vt_json *j)
{
	static const char *const names[] = { "?", "null", "a boolean", "a whole number", "a number",
		"a text", "a list", "an object" };
	return names[j->type];
}

static struct vt_json *value(const struct vt_json *json, const struct key *k, const char *at,
	struct vt_findings *findings);

static struct vt_json *object(const struct vt_json *json, const struct key *keys, const char *at,
	struct vt_findings *findings)
{
	struct vt_json *out = vt_json_new(VT_JSON_OBJECT);
	for (size_t i = 0; i < json->n; i++) {
		char *name = camel(json->key[i]), *here = vt_asprintf("%s/%s", at, json->key[i]);
		const struct key *k = keys;
		/* the one key that is not camelCase */
		while (k->name && strcmp(k->name, name) &&
			!(!strcmp(k->name, "URL") && !strcmp(name, "url")))
			k++;
		if (!k->name) {
			bool old = false;
			const char *now = renamed(name, &old),
				   *near = old ? now : nearest(keys, name);
			vt_findings_add(findings, VT_FINDING_ERROR, here, "unknown key; %s%s%s",
				near ? "write \""
				     : "remove "
				       "it",
				near ? near : "", near ? "\"" : "");
			/* snake_case and camelCase are two spellings of one key */
		} else if (vt_json_get(out, k->name)) {
			vt_findings_add(findings, VT_FINDING_ERROR, here,
				"\"%s\" is given twice (once in the other key style); keep one",
				k->name);
			/* null is as if it were not given */
		} else if (json->item[i]->type != VT_JSON_NULL) {
			struct vt_json *copy = value(json->item[i], k, here, findings);
			if (copy)
				vt_json_put(out, k->name, copy);
		}
		free(name);
		free(here);
	}
	return out;
}

static struct vt_json *list(const struct vt_json *json, const struct key *k, const char *at,
	struct vt_findings *findings)
{
	/* each item by the kind of the list */
	struct key one = { k->name, OBJECT, k->child };
	struct vt_json *out = vt_json_new(VT_JSON_ARRAY);

	if (k->kind == TEXTS)
		one.kind = TEXT;
	else if (k->kind == WHOLES)
		one.kind = WHOLE;
	for (size_t i = 0; i < json->n; i++) {
		char *here = vt_asprintf("%s/%zu", at, i);
		struct vt_json *copy = value(json->item[i], &one, here, findings);
		if (copy)
			vt_json_push(out, copy);
		free(here);
	}
	return out;
}

/* protobuf's JSON lets a 64-bit integer be a text. */
static struct vt_json *whole(const struct vt_json *json)
{
	if (json->type == VT_JSON_INT)
		return vt_json_copy(json);
	if (json->type == VT_JSON_STRING && *json->string) {
		char *end;
		long long n = strtoll(json->string, &end, 10);
		return *end ? NULL : vt_json_new_int(n);
	}
	return NULL;
}

static struct vt_json *wrong(const struct vt_json *json, const char *at,
	struct vt_findings *findings, const char *want)
{
	vt_findings_add(findings, VT_FINDING_ERROR, at, "is %s; write %s", type_name(json), want);
	return NULL;
}

static struct vt_json *text(const struct vt_json *json, const struct key *k, const char *at,
	struct vt_findings *findings)
{
	double number;
	if (json->type != VT_JSON_STRING && !(k->kind == QUANTITY && json->type == VT_JSON_INT))
		return wrong(json, at, findings,
			k->kind == SECONDS ? "seconds as a text such as \"900s\""
					   : "a text in double "
					     "quotes");
	if (k->kind == SECONDS && !vt_spec_seconds(json->string, &number))
		return vt_findings_add(findings, VT_FINDING_ERROR, at,
			       "\"%s\" is not a duration; write seconds such as \"900s\"",
			       json->string),
		       NULL;
	if (k->kind == QUANTITY && json->type == VT_JSON_STRING &&
		!vt_spec_quantity(json->string, &number))
		return vt_findings_add(findings, VT_FINDING_ERROR, at,
			       "\"%s\" is not an amount; write for example \"2Gi\"", json->string),
		       NULL;
	return vt_json_copy(json);
}

static struct vt_json *map(const struct vt_json *json, const char *at, struct vt_findings *findings)
{
	/* the rest of the map is read, so that all faults are told */
	for (size_t i = 0; i < json->n; i++)
		if (json->item[i]->type != VT_JSON_STRING) {
			char *here = vt_asprintf("%s/%s", at, json->key[i]);
			wrong(json->item[i], here, findings, "a text in double quotes");
			free(here);
		}
	return vt_json_copy(json);
}

static struct vt_json *value(const struct vt_json *json, const struct key *k, const char *at,
	struct vt_findings *findings)
{
	struct vt_json *n = NULL;
	switch (k->kind) {
	case TEXT:
	case SECONDS:
	case QUANTITY: return text(json, k, at, findings);
	case FLAG:
		return json->type == VT_JSON_BOOL ? vt_json_copy(json)
						  : wrong(json, at, findings, "true or false");
	case WHOLE: return (n = whole(json)) ? n : wrong(json, at, findings, "a whole number");
	case NUMBER:
		return json->type == VT_JSON_INT || json->type == VT_JSON_REAL
			? vt_json_copy(json)
			: wrong(json, at, findings, "a number");
	case TEXTS:
	case WHOLES:
	case LIST:
		return json->type == VT_JSON_ARRAY ? list(json, k, at, findings)
						   : wrong(json, at, findings, "a list [...]");
	case MAP:
		return json->type == VT_JSON_OBJECT
			? map(json, at, findings)
			: wrong(json, at, findings, "an object {...} of texts");
	case OBJECT:
		return json->type == VT_JSON_OBJECT ? object(json, k->child, at, findings)
						    : wrong(json, at, findings, "an object {...}");
	}
	return NULL;
}

struct vt_json *vt_spec_normalize(const struct vt_json *spec, const char *pointer,
	struct vt_findings *findings)
{
	static const struct key whole_spec = { "", OBJECT, root };
	return value(spec, &whole_spec, pointer, findings);
}
