/* voxtrail scores EVALUATION: the means of metrics.json, or each subject's scores, as a table. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/fs.h"
#include "common/base/json.h"
#include "pipelines/tool/command.h"
#include "pipelines/tool/commands.h"

/* Keys of metrics.json; docs/metrics.md defines them. */
static const struct column {
	const char *key, *head;
	int decimals;
} columns[] = {
	{ "dice", "Dice", 3 },
	{ "sensitivity", "sensitivity", 3 },
	{ "specificity", "specificity", 4 },
	{ "hd95_mm", "HD95 (mm)", 2 },
	{ "nsd", "NSD", 3 },
	{ "volume_ml", "volume (ml)", 1 },
	{ "reference_ml", "reference (ml)", 1 },
	{ "threshold_dice", "threshold Dice", 3 },
};
enum { COLUMNS = sizeof(columns) / sizeof(columns[0]) };

/* Columns that a terminal uses: UTF-8's continuation bytes take none. */
static int width_of(const char *text)
{
	int n = 0;

	for (; *text; text++)
		n += (*text & 0xc0) != 0x80;
	return n;
}

static int widest(const struct vt_json *object, int least)
{
	for (size_t i = 0; object && i < object->n; i++)
		if (width_of(object->key[i]) > least)
			least = width_of(object->key[i]);
	return least;
}

/* A name comes from a manifest: nothing in it may steer the terminal. */
static void print_name(const char *name, int width)
{
	for (const char *p = name; *p; p++)
		putchar((unsigned char)*p < 0x20 || *p == 0x7f ? '?' : *p);
	vt_say("%*s", width - width_of(name), "");
}

static int column_width(int k)
{
	int head = (int)strlen(columns[k].head);

	return head < 6 ? 6 : head;
}

static void print_values(const struct vt_json *score)
{
	for (int k = 0; k < COLUMNS; k++) {
		double value = vt_json_number(vt_json_get(score, columns[k].key), NAN);

		if (isnan(value))
			vt_say("  %*s", column_width(k), "-");
		else
			vt_say("  %*.*f", column_width(k), columns[k].decimals, value);
	}
	putchar('\n');
}

static void print_head(const char *first, int width)
{
	vt_say("%-*s", width, first);
	for (int k = 0; k < COLUMNS; k++)
		vt_say("  %*s", column_width(k), columns[k].head);
	putchar('\n');
}

static void print_means(const struct vt_json *mean)
{
	int width = widest(mean, (int)strlen("region"));

	print_head("region", width);
	for (size_t i = 0; i < mean->n; i++) {
		print_name(mean->key[i], width);
		print_values(mean->item[i]);
	}
}

static void print_subjects(const struct vt_json *subjects, const struct vt_json *mean)
{
	int subject = widest(subjects, (int)strlen("subject"));
	int region = widest(mean, (int)strlen("region"));

	vt_say("%-*s  ", subject, "subject");
	print_head("region", region);
	for (size_t i = 0; i < subjects->n; i++)
		for (size_t k = 0; k < vt_json_members(subjects->item[i]); k++) {
			print_name(subjects->key[i], subject);
			vt_say("  ");
			print_name(subjects->item[i]->key[k], region);
			print_values(subjects->item[i]->item[k]);
		}
}

static bool is_object(const struct vt_json *j)
{
	return j && j->type == VT_JSON_OBJECT;
}

static void scores(const char *what, int each, struct vt_err *err)
{
	char *path = vt_fs_is_dir(what) ? vt_path_join(what, "metrics.json") : vt_xstrdup(what);
	struct vt_json *metrics = NULL;

	if (!vt_json_read(&metrics, path, err)) {
		const struct vt_json *mean = vt_json_get(metrics, "mean");
		const struct vt_json *subjects = vt_json_get(metrics, "subjects");

		if (!is_object(mean) || !is_object(subjects))
			vt_err_set(err, VT_EDATA,
				"%s: holds no \"mean\" and \"subjects\"; give an output of "
				"evaluate",
				path);
		else if (each)
			print_subjects(subjects, mean);
		else
			print_means(mean);
	}
	vt_json_free(metrics);
	free(path);
}

int vt_cmd_scores(int argc, char **argv)
{
	int each = 0;
	const struct vt_opt opts[] = {
		{ 0, "subjects", VT_OPT_FLAG, &each, NULL, "one line per subject and region" },
		VT_OPTS_END,
	};
	struct vt_call c = {
		.usage = "scores EVALUATION",
		.about = "Prints the mean scores of an evaluation over its subjects as a "
			 "table. EVALUATION is an output directory of evaluate, or its "
			 "metrics.json.",
		.least = 1,
		.most = 1,
		.opts = opts,
		.no_store = true,
	};

	if (vt_call_begin(&c, argc, argv))
		scores(c.args.v[0], each, &c.err);
	return vt_call_end(&c);
}
