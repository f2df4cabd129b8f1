/* manifest_names.c - does a file's name say another channel than the manifest?
 *
 * A name is cut into words at everything that is neither letter nor digit. A role that stands
 * there as a word names its channel; beyond that, the field's spellings of T1, T1 with contrast,
 * T2 and FLAIR are known, so that "sub-01_ce-gadolinium_T1w" is taken for t1ce and not for t1w. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/seg/manifest_internal.h"

enum sequence { UNKNOWN = 0, T1, T1_CONTRAST, T2, FLAIR };

static const char *const t1_words[] = { "t1", "t1w", "t1n", "t1weighted", "mprage", "t1mprage",
	"t1pre", "t1native", NULL };
static const char *const t1c_words[] = { "t1c", "t1ce", "t1gd", "t1gad", "t1post", "t1wce", "t1wc",
	"t1wgd", "t1wpost", "t1km", "cet1", "cet1w", "t1contrast", "t1wcontrast", "t1cw", "t1ce",
	"t1gado", "gdt1", "gadt1", "postt1", NULL };
static const char *const contrast_words[] = { "ce", "gd", "gad", "gado", "gadolinium", "post",
	"postcontrast", "postgd", "contrast", "enhanced", "postgad", "km", NULL };
static const char *const no_contrast_words[] = { "pre", "precontrast", "nocontrast", "noncontrast",
	"native", "pregd", "unenhanced", NULL };
static const char *const t2_words[] = { "t2", "t2w", "t2weighted", "t2tse", NULL };
static const char *const flair_words[] = { "flair", "t2flair", "t2f", "fla", NULL };

static bool is_word_char(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z');
}

static bool among(const char *word, const char *const *words)
{
	for (; *words; words++)
		if (!strcmp(word, *words))
			return true;
	return false;
}

/* Lower case; what is no letter or digit becomes a space. */
static char *words_of(const char *text, bool split)
{
	const char *base = strrchr(text, '/');
	char *low = vt_xstrdup(base ? base + 1 : text);

	for (char *p = low, *end; *p; p++) {
		/* What stands for a subject's name says nothing of a channel. */
		if (*p == '{' && (end = strchr(p, '}')))
			for (; p < end; p++)
				*p = ' ';
		*p = *p == '}' ? ' ' : *p;
		*p = *p >= 'A' && *p <= 'Z' ? (char)(*p - 'A' + 'a') : *p;
		if (split && !is_word_char(*p))
			*p = ' ';
	}
	return low;
}

static enum sequence sequence_of(const char *text)
{
	char *low = words_of(text, true), *state = NULL, last[32] = "";
	bool t1 = false, fused = false, contrast = false, without = false, t2 = false,
	     flair = false;

	for (char *w = strtok_r(low, " ", &state); w; w = strtok_r(NULL, " ", &state)) {
		t1 = t1 || among(w, t1_words);
		fused = fused || among(w, t1c_words);
		contrast = contrast || among(w, contrast_words) ||
			(!strcmp(w, "c") && among(last, t1_words));
		without = without || among(w, no_contrast_words);
		t2 = t2 || among(w, t2_words);
		flair = flair || among(w, flair_words);
		snprintf(last, sizeof(last), "%s", w);
	}
	free(low);
	if (fused || (t1 && contrast && !without))
		return T1_CONTRAST;
	if (flair)
		return FLAIR;
	if (t1)
		return t2 ? UNKNOWN : T1;
	return t2 ? T2 : UNKNOWN;
}

/* Whether the file name holds `role` as a word of its own, in any case. */
static bool holds_role(const char *path, const char *role)
{
	size_t n = strlen(role);
	bool found = false;
	char *low = words_of(path, false), *wanted = words_of(role, false);

	for (char *p = low; *wanted && (p = strstr(p, wanted)); p++)
		found |= (p == low || !is_word_char(p[-1])) && !is_word_char(p[n]);
	free(low);
	free(wanted);
	return found;
}

/* Whether the name of the file says this role. */
static bool says(const char *path, const char *role)
{
	enum sequence file = sequence_of(path), wanted = sequence_of(role);

	if (file && wanted)
		return file == wanted;
	return holds_role(path, role);
}

int vt_manifest_check_name(const struct vt_manifest *manifest, const char *pattern,
	const char *path, const char *subject, int channel, struct vt_err *err)
{
	static const char *const names[] = { "", "T1", "T1 with contrast", "T2", "FLAIR" };
	const struct vt_channel *c = &manifest->channel[channel];
	enum sequence file = sequence_of(pattern), wanted = sequence_of(c->role);

	/* In a file of several channels the name says nothing of one. */
	if (c->frame >= 0 || c->any_name || says(pattern, c->role))
		return 0;
	for (int i = 0; i < manifest->n_channels; i++)
		if (i != channel && says(pattern, manifest->channel[i].role))
			return vt_err_set(err, VT_EDATA,
				"subject %s: manifest %s takes %s as %s, but its name says %s; "
				"correct the order of the channels, or give the channel "
				"\"any_name\": true if it is right",
				subject, manifest->name, path, c->role, manifest->channel[i].role);
	if (file && wanted && file != wanted)
		return vt_err_set(err, VT_EDATA,
			"subject %s: manifest %s takes %s as %s, but its name says %s; correct the "
			"pattern, or give the channel \"any_name\": true if it is right",
			subject, manifest->name, path, c->role, names[file]);
	return 0;
}

const char *vt_manifest_role_of(const char *path)
{
	static const char *const roles[] = { NULL, "t1", "t1ce", "t2", "flair" };

	return roles[sequence_of(path)];
}
