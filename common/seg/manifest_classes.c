/* manifest_classes.c - what a whole scan is, as a table says it. */
#include <stdlib.h>
#include <string.h>

#include "common/seg/manifest_internal.h"

int vt_manifest_class_number(const struct vt_manifest *manifest, const char *name)
{
	for (size_t i = 0; name && i < manifest->classes.n; i++)
		if (!strcmp(manifest->classes.v[i], name))
			return (int)i;
	return -1;
}

static int read_names(struct vt_manifest *manifest, const struct vt_json *names, const char *origin,
	struct vt_err *err)
{
	size_t n = vt_json_length(names);

	for (size_t i = 0; i < n; i++) {
		const char *name = vt_json_text(names->item[i], "");

		if (!*name || vt_manifest_class_number(manifest, name) >= 0)
			return vt_err_set(err, VT_EDATA,
				"%s: /classes/names/%zu: must be a name, each another", origin, i);
		vt_strs_add(&manifest->classes, name);
	}
	return n >= 2 && n <= VT_MAX_CLASSES
		? 0
		: vt_err_set(err, VT_EDATA, "%s: /classes/names: must be 2 to %d names", origin,
			  VT_MAX_CLASSES);
}

int vt_manifest_read_classes(struct vt_manifest *manifest, const struct vt_json *j,
	const char *origin, struct vt_err *err)
{
	const struct vt_json *c = vt_json_get(j, "classes"), *table = vt_json_get(c, "subjects");

	if (!c)
		return 0;
	for (size_t i = 0; i < vt_json_members(c); i++)
		if (strcmp(c->key[i], "names") && strcmp(c->key[i], "subjects"))
			return vt_err_set(err, VT_EDATA,
				"%s: /classes/%s: unknown; known are names and subjects", origin,
				c->key[i]);
	if (read_names(manifest, vt_json_get(c, "names"), origin, err))
		return err->code;
	if (table && table->type != VT_JSON_OBJECT)
		return vt_err_set(err, VT_EDATA,
			"%s: /classes/subjects: maps subjects or patients to one of the names",
			origin);
	for (size_t i = 0; table && i < table->n; i++)
		if (vt_manifest_class_number(manifest, vt_json_text(table->item[i], NULL)) < 0)
			return vt_err_set(err, VT_EDATA,
				"%s: /classes/subjects/%s: must be one of /classes/names", origin,
				table->key[i]);
	manifest->class_table = table;
	return 0;
}

int vt_manifest_class(const struct vt_manifest *manifest, const char *subject)
{
	const struct vt_json *given = vt_json_get(manifest->class_table, subject);
	char *patient = given ? NULL : vt_manifest_patient(manifest, subject);

	if (!given)
		given = vt_json_get(manifest->class_table, patient);
	free(patient);
	return vt_manifest_class_number(manifest, vt_json_text(given, NULL));
}
