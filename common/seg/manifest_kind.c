/* manifest_kind.c - what a file's name and values say it is, for a draft.
 *
 * Values count for more than names: a map of 0, 1, 2 and 4 is no scan and no mask, however it is
 * called.  Names decide between what values leave open. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "common/seg/manifest_internal.h"

/* Beginnings of words, and whole words. */
static const char *const label_starts[] = { "seg", "label", "lesion", NULL };
static const char *const lesion_starts[] = { "tumor", "tumour", "truth", "ground", "annot",
	"contour", "mask", NULL };
static const char *const lesion_words[] = { "gt", "gtv", "ctv", "ptv", "roi", "rois", NULL };

static char *lower_base(const char *pattern)
{
	const char *base = strrchr(pattern, '/');
	char *low = vt_xstrdup(base ? base + 1 : pattern);

	for (char *p = low; *p; p++)
		*p = (char)tolower((unsigned char)*p);
	return low;
}

static bool holds_any(const char *text, const char *const *words)
{
	for (; *words; words++)
		if (strstr(text, *words))
			return true;
	return false;
}

static bool holds_word(const char *text, const char *const *words)
{
	for (; *words; words++) {
		size_t n = strlen(*words);

		for (const char *p = text; (p = strstr(p, *words)); p++)
			if ((p == text || !isalnum((unsigned char)p[-1])) &&
				!isalnum((unsigned char)p[n]))
				return true;
	}
	return false;
}

static bool in_labels(const char *pattern)
{
	return !strncmp(pattern, "labels", 6) || strstr(pattern, "/labels");
}

static bool names_lesion(const char *low)
{
	static const char *const others[] = { "tumor", "tumour", "truth", "annot", "contour",
		NULL };

	return holds_any(low, others) || holds_word(low, lesion_words);
}

enum vt_file_kind vt_manifest_kind(const char *pattern, const unsigned char *value, int n)
{
	char *low = lower_base(pattern);
	bool two = n == 2 && !value[0], mask = strstr(low, "mask"),
	     brain = strstr(low, "brain") && (mask || strstr(low, "segmentation")),
	     label = in_labels(pattern) || holds_any(low, label_starts);
	enum vt_file_kind kind;

	if (brain && (two || !n))
		kind = VT_FILE_MASK;
	else if (label)
		kind = VT_FILE_LABEL;
	else if (n)
		kind = two && mask && !names_lesion(low) ? VT_FILE_MASK : VT_FILE_LABEL;
	else
		/* flair_masked is a scan without its skull. */
		kind = mask && !vt_manifest_role_of(pattern) ? VT_FILE_MASK : VT_FILE_SCAN;
	free(low);
	return kind;
}

int vt_manifest_kind_rank(const char *pattern, enum vt_file_kind kind)
{
	char *low = lower_base(pattern);
	bool brain = strstr(low, "brain") != NULL;
	int rank = 1;

	if (kind == VT_FILE_MASK)
		rank = !brain;
	else if (brain)
		rank = 2;
	else if (in_labels(pattern) || holds_any(low, label_starts))
		rank = 0;
	free(low);
	return rank;
}

static bool starts_word(const char *at, const char *const *words)
{
	for (; *words; words++)
		if (!strncmp(at, *words, strlen(*words)))
			return true;
	return false;
}

/* Whether the word at `at`, up to the end of the name, is of a label map or a mask. */
static bool is_label_word(const char *at)
{
	return starts_word(at, label_starts) || starts_word(at, lesion_starts) ||
		(holds_word(at, lesion_words) && strlen(at) < 5);
}

static bool separates(char c)
{
	return c == '_' || c == '-' || c == ' ' || c == '.';
}

/* Name without label words at its end, and without what separates them. */
static void cut_label_words(char *low)
{
	for (size_t k = strlen(low); k-- > 1;) {
		if (!separates(low[k]))
			continue;
		if (low[k + 1] && !is_label_word(low + k + 1))
			return;
		low[k] = '\0';
	}
}

size_t vt_manifest_stem(const char *name, bool numbered)
{
	char *low = lower_base(name);
	size_t n = strlen(name), before;
	int separators = 0;

	cut_label_words(low);
	before = strlen(low);
	free(low);
	if (before < n)
		return before;
	for (size_t k = n; k-- > 1 && separators < 3;) {
		bool digits = n - k == 5 && isdigit((unsigned char)name[k + 1]);

		if (!separates(name[k]) || name[k] == '.')
			continue;
		if (vt_manifest_role_of(name + k) || (!separators++ && digits && numbered)) {
			while (k > 1 && separates(name[k - 1]))
				k--;
			return k;
		}
	}
	return n;
}
