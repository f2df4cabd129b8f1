#include "common/seg/merge_labels.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_RULES = 64 };

struct rule {
	bool named[VT_MERGE_MAPS], has[VT_MERGE_MAPS][256];
	int take;            /* a map, or -1 */
	unsigned char value; /* where take is -1 */
};

struct vt_merge_rules {
	struct rule rule[MOST_RULES];
	int n, otherwise;
};

/* 0 for "a"; -1 for what is no map. */
static int map_named(const char *name)
{
	return *name && strchr("abc", *name) && !name[1] ? *name - 'a' : -1;
}

static int wrong(size_t k, const char *what, struct vt_err *err)
{
	return vt_err_set(err, VT_EUSAGE, "--rules[%zu]: %s", k, what);
}

static bool is_label(const struct vt_json *j)
{
	return j && j->type == VT_JSON_INT && j->integer >= 0 && j->integer < 256;
}

static int parse_rule(struct rule *rule, const struct vt_json *j, size_t k, struct vt_err *err)
{
	bool any = false;

	if (j->type != VT_JSON_OBJECT || !vt_json_get(j, "take"))
		return wrong(k, "must be an object with \"take\"", err);
	for (size_t i = 0; i < j->n; i++) {
		const struct vt_json *v = j->item[i];
		int map = map_named(j->key[i]);

		if (!strcmp(j->key[i], "take")) {
			rule->take = map_named(vt_json_text(v, ""));
			if (rule->take < 0 && !is_label(v))
				return wrong(k, "take must be \"a\", \"b\", \"c\" or a label", err);
			rule->value = is_label(v) ? (unsigned char)v->integer : 0;
			continue;
		}
		if (map < 0 || v->type != VT_JSON_ARRAY)
			return wrong(k, "its keys are take, and a, b and c with lists of labels",
				err);
		any = rule->named[map] = true;
		for (size_t n = 0; n < v->n; n++) {
			if (!is_label(vt_json_at(v, n)))
				return wrong(k, "a label is a whole number from 0 to 255", err);
			rule->has[map][vt_json_at(v, n)->integer] = true;
		}
	}
	return any ? 0 : wrong(k, "names no map to look at", err);
}

int vt_merge_parse(struct vt_merge_rules **out, const struct vt_json *list, const char *otherwise,
	struct vt_err *err)
{
	struct vt_merge_rules *rules = vt_xcalloc(1, sizeof(*rules));
	int rc = 0;

	*out = NULL;
	rules->otherwise = map_named(otherwise);
	assert(rules->otherwise >= 0);
	if (list->type != VT_JSON_ARRAY || list->n > MOST_RULES)
		rc = vt_err_set(err, VT_EUSAGE, "--rules: must be a list of at most %d rules",
			MOST_RULES);
	for (size_t k = 0; !rc && k < list->n; k++)
		rc = parse_rule(&rules->rule[rules->n++], vt_json_at(list, k), k, err);
	if (rc)
		vt_merge_free(rules);
	else
		*out = rules;
	return rc;
}

void vt_merge_free(struct vt_merge_rules *rules)
{
	free(rules);
}

bool vt_merge_uses(const struct vt_merge_rules *rules, int k)
{
	for (int i = 0; i < rules->n; i++)
		if (rules->rule[i].named[k] || rules->rule[i].take == k)
			return true;
	return rules->otherwise == k;
}

static bool holds(const struct rule *rule, const unsigned char value[VT_MERGE_MAPS])
{
	for (int k = 0; k < VT_MERGE_MAPS; k++)
		if (rule->named[k] && !rule->has[k][value[k]])
			return false;
	return true;
}

void vt_merge_apply(unsigned char *out, const struct vt_merge_rules *rules,
	const unsigned char *const maps[VT_MERGE_MAPS], size_t n)
{
	for (size_t i = 0; i < n; i++) {
		unsigned char value[VT_MERGE_MAPS];
		int k = 0;

		for (int m = 0; m < VT_MERGE_MAPS; m++)
			value[m] = maps[m] ? maps[m][i] : 0;
		while (k < rules->n && !holds(&rules->rule[k], value))
			k++;
		if (k == rules->n)
			out[i] = value[rules->otherwise];
		else
			out[i] = rules->rule[k].take < 0 ? rules->rule[k].value
							 : value[rules->rule[k].take];
	}
}
