/* contract.h - what gives a network's input and output their meaning, and whether two agree.
 *
 *      struct vt_json *trained = vt_contract_of_checkpoint(checkpoint_json);
 *      struct vt_json *given = vt_contract_of_container(header);
 *      vt_contract_agree(trained, given, "subject a", "crop.margin", err);
 *
 * A contract is a JSON object of one level:
 *      channels          roles in order
 *      regions           [name, values ...] each, in order
 *      ignore            the label value that is left out of loss and scores, where there is one
 *      settings.<key>    of the preparation (prepare.h)
 *      crop.<key>        of the crop (crop.h)
 *      spacing_mm        z, y, x; absent where a network was trained on any
 *      axes              with settings.orient native: where x, y and z point to, e.g. "LPS"; null
 *                        where a network was trained on several
 * Values are compared as text, spacings within a thousandth. */
#ifndef COMMON_SEG_CONTRACT_H
#define COMMON_SEG_CONTRACT_H

#include "common/base/err.h"
#include "common/base/json.h"

/* The caller frees; keys that the text does not hold are absent. */
struct vt_json *vt_contract_of_container(const struct vt_json *header);
struct vt_json *vt_contract_of_checkpoint(const struct vt_json *checkpoint);

/* VT_EUSAGE unless `allow` is a comma-separated list of what may differ: keys as above, the whole
 * group "settings" or "crop", or a word of `more` (NULL-terminated, may be NULL). */
int vt_contract_check_allow(const char *allow, const char *const *more, struct vt_err *err);

/* Whether a list allows a key, by itself or by its group. */
bool vt_contract_allows(const char *allow, const char *key);

/* Key "axes" of a checkpoint that is trained on the container; NULL where its settings say it. */
struct vt_json *vt_contract_axes(const struct vt_json *header);

/* Whether subjects of one cohort mean the same; spacings are not looked at.  VT_EDATA names both
 * subjects, the first key that differs, both values and the way to allow it. */
int vt_contract_same(const struct vt_json *first, const char *who_first,
	const struct vt_json *other, const char *who, const char *allow, struct vt_err *err);

/* VT_EDATA names who, the first key that differs, both values and the way to allow it. */
int vt_contract_agree(const struct vt_json *trained, const struct vt_json *given, const char *who,
	const char *allow, struct vt_err *err);
/* Likewise a checkpoint and a container's header. */
int vt_contract_admits(const struct vt_json *checkpoint, const struct vt_json *header,
	const char *who, const char *allow, struct vt_err *err);
/* Likewise for a network that is yet to be made for what is given: another number of channels can
 * be allowed, too. */
int vt_contract_adapt(const struct vt_json *trained, const struct vt_json *given, const char *who,
	const char *allow, struct vt_err *err);

#endif
