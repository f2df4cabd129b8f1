/* merge_labels.h - one label map out of several on one grid, by a table of rules.
 *
 *      struct vt_merge_rules *rules = NULL;
 *      vt_merge_parse(&rules, list, "a", err);
 *      vt_merge_apply(out, rules, maps, n, err);
 *
 * A rule is {"a": [values], "b": [values], "take": "a" | "b" | "c" | value}: it holds where each
 * map it names has one of the values; the first that holds decides, and where none does the map
 * named by `otherwise`.  The two-pass merge of BraTS 2020 (open_brats2020's paper, 3.4) is
 * {"a": [0, 2], "b": [0, 2], "take": "b"}, otherwise a.
 */
#ifndef COMMON_SEG_MERGE_LABELS_H
#define COMMON_SEG_MERGE_LABELS_H

#include "common/base/json.h"

enum { VT_MERGE_MAPS = 3 };

struct vt_merge_rules;

/* otherwise: "a", "b" or "c".  VT_EUSAGE names the rule and what is wrong. */
int vt_merge_parse(struct vt_merge_rules **out, const struct vt_json *list, const char *otherwise,
	struct vt_err *err);
void vt_merge_free(struct vt_merge_rules *rules);

/* Whether a rule looks at or takes map k (0: a). */
bool vt_merge_uses(const struct vt_merge_rules *rules, int k);

/* maps: of n voxels each; NULL where there is none, which no rule may use. */
void vt_merge_apply(unsigned char *out, const struct vt_merge_rules *rules,
	const unsigned char *const maps[VT_MERGE_MAPS], size_t n);

#endif
