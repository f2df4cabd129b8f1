/* voxtrail manifest DIR: drafts what the files of a cohort mean, or checks it against them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/image/volume.h"
#include "common/seg/label_file.h"
#include "common/seg/manifest_draft.h"
#include "pipelines/tool/command.h"
#include "pipelines/tool/commands.h"

static void draft(const char *dir, const char *labels, struct vt_err *err)
{
	struct vt_buf remarks = VT_BUF_INIT, text = VT_BUF_INIT;
	struct vt_manifest *m = NULL;
	struct vt_json *j = NULL;

	if (!vt_manifest_draft(&j, &remarks, dir, labels, err) &&
		!vt_manifest_parse(&m, j, "the draft", err)) {
		vt_json_pretty(&text, j);
		vt_json_say(text.data);
		if (text.len && text.data[text.len - 1] != '\n')
			putchar('\n');
	}
	if (remarks.len)
		fwrite(remarks.data, 1, remarks.len, stderr);
	vt_manifest_free(m);
	vt_json_free(j);
	vt_buf_release(&remarks);
	vt_buf_release(&text);
}

/* --- a manifest against a directory ---------------------------------------------------------- */

struct checked {
	struct vt_json *row;
	struct vt_geometry grid; /* of the first channel that could be read */
	bool placed, bad;
};

static void fault(struct checked *c, const char *what, const struct vt_err *why)
{
	struct vt_json *list = (struct vt_json *)vt_json_get(c->row, "faults");
	char *text = vt_asprintf("%s: %s", what, why->text);

	vt_json_push(list, vt_json_new_text(text));
	c->bad = true;
	free(text);
}

/* A channel of few whole values is a label map: whoever trained on it would be shown the answer. */
static void check_values(struct checked *c, const struct vt_channel *ch, const char *path)
{
	struct vt_volume v = VT_VOLUME_INIT;
	struct vt_err why = VT_ERR_INIT;
	struct vt_buf text = VT_BUF_INIT;
	unsigned char value[VT_FEW_VALUES];
	int n = 0;

	if (vt_volume_read(&v, path, VT_VOLUME_RAW | VT_VOLUME_FRAMES, &why))
		fault(c, ch->role, &why);
	else if (!ch->any_name)
		n = vt_volume_few_values(value, &v);
	for (int i = 0; i < n; i++)
		vt_buf_printf(&text, "%s%d", i ? ", " : "", value[i]);
	if (n) {
		vt_err_set(&why, VT_EDATA,
			"%s holds only the values %s, as a label map or a mask does; name it under "
			"/label or /mask, or give the channel \"any_name\": true if it is a scan",
			path, text.data);
		fault(c, ch->role, &why);
	}
	vt_buf_release(&text);
	vt_volume_release(&v);
}

static void check_channel(struct checked *c, struct vt_json *channels,
	const struct vt_manifest *manifest, const char *dir, const char *subject, int channel)
{
	const struct vt_channel *ch = &manifest->channel[channel];
	struct vt_volume v = VT_VOLUME_INIT;
	struct vt_err why = VT_ERR_INIT;
	char *path = NULL, text[96];

	if (vt_manifest_channel(&path, manifest, dir, subject, channel, &why) ||
		vt_volume_read(&v, path,
			VT_VOLUME_HEADER | (ch->frame < 0 ? VT_VOLUME_3D : VT_VOLUME_FRAMES),
			&why)) {
		fault(c, ch->role, &why);
		vt_json_put_text(channels, ch->role, "-");
	} else {
		snprintf(text, sizeof(text), "%zux%zux%zu %.3gx%.3gx%.3g", v.geometry.dim[0],
			v.geometry.dim[1], v.geometry.dim[2], v.geometry.spacing[0],
			v.geometry.spacing[1], v.geometry.spacing[2]);
		vt_json_put_text(channels, ch->role, text);
		if (!c->placed)
			c->grid = v.geometry;
		else if (!vt_geometry_can_turn(&c->grid, &v.geometry, 0.05) &&
			vt_geometry_same(&c->grid, manifest->channel[0].role, &v.geometry, ch->role,
				0.05, &why))
			fault(c, ch->role, &why);
		c->placed = true;
		check_values(c, ch, path);
	}
	vt_volume_release(&v);
	free(path);
}

static void check_label(struct checked *c, const struct vt_manifest *manifest, const char *dir,
	const char *subject)
{
	struct vt_json *values = vt_json_new(VT_JSON_ARRAY);
	struct vt_err why = VT_ERR_INIT;
	unsigned char *labels = NULL;
	bool seen[VT_MAX_LABELS] = { false };
	char *path = NULL;

	if (vt_manifest_label(&path, manifest, dir, subject, &why) ||
		(c->placed && vt_label_file_read(&labels, manifest, path, &c->grid, 0.05, &why)))
		fault(c, "label", &why);
	for (size_t i = 0; labels && i < vt_geometry_count(&c->grid); i++)
		seen[labels[i]] = true;
	for (int v = 0; v < VT_MAX_LABELS; v++) {
		if (!seen[v])
			continue;
		vt_json_push(values, vt_json_new_int(v));
		if (!manifest->label[v]) {
			vt_err_set(&why, VT_EDATA, "value %d is not in /label/values", v);
			fault(c, "label", &why);
		}
	}
	vt_json_put(c->row, "label", values);
	free(labels);
	free(path);
}

static struct vt_json *check_subject(bool *bad, const struct vt_manifest *manifest, const char *dir,
	const char *labels, const char *subject)
{
	struct checked c = { .row = vt_json_new(VT_JSON_OBJECT) };
	struct vt_json *channels = vt_json_new(VT_JSON_OBJECT);
	struct vt_split split = { false, 0 };
	struct vt_err why = VT_ERR_INIT;
	char *patient = vt_manifest_patient(manifest, subject), *mask = NULL;

	vt_json_put_text(c.row, "subject", subject);
	vt_json_put_text(c.row, "patient", patient);
	vt_json_put(c.row, "faults", vt_json_new(VT_JSON_ARRAY));
	if (vt_manifest_split(&split, manifest, subject, &why))
		fault(&c, "split", &why);
	vt_json_put_bool(c.row, "test", split.test);
	vt_json_put_int(c.row, "fold", split.fold);
	for (int k = 0; k < manifest->n_channels; k++)
		check_channel(&c, channels, manifest, dir, subject, k);
	vt_json_put(c.row, "channels", channels);
	why = (struct vt_err)VT_ERR_INIT;
	if (vt_manifest_mask(&mask, manifest, dir, subject, &why))
		fault(&c, "mask", &why);
	vt_json_put_bool(c.row, "mask", mask != NULL);
	if (manifest->label_files.n)
		check_label(&c, manifest, labels, subject);
	*bad = c.bad;
	free(patient);
	free(mask);
	return c.row;
}

/* One line a subject, tabs between: for eyes, cut and spreadsheets. */
static void print_row(const struct vt_json *row)
{
	const struct vt_json *channels = vt_json_get(row, "channels"),
			     *label = vt_json_get(row, "label"),
			     *faults = vt_json_get(row, "faults");

	vt_say("%s\t%s\t", vt_json_text(vt_json_get(row, "subject"), ""),
		vt_json_text(vt_json_get(row, "patient"), ""));
	if (vt_json_true(vt_json_get(row, "test"), false))
		vt_say("test");
	else
		vt_say("%d", (int)vt_json_integer(vt_json_get(row, "fold"), 0));
	for (size_t i = 0; i < channels->n; i++)
		vt_say("\t%s", vt_json_text(channels->item[i], ""));
	vt_say("\t%s\t", vt_json_true(vt_json_get(row, "mask"), false) ? "yes" : "-");
	for (size_t i = 0; label && i < label->n; i++)
		vt_say("%s%d", i ? "," : "", (int)label->item[i]->integer);
	vt_say("\t");
	for (size_t i = 0; i < faults->n; i++)
		vt_say("%s%s", i ? "; " : "", faults->item[i]->string);
	vt_say("\n");
}

static void check(const char *dir, const char *labels, const char *manifest, int json,
	struct vt_err *err)
{
	struct vt_json *all = vt_json_new(VT_JSON_ARRAY);
	struct vt_strs ids = VT_STRS_INIT;
	struct vt_manifest *m = NULL;
	struct vt_buf text = VT_BUF_INIT;
	size_t bad = 0, test = 0;

	if (!vt_manifest_read(&m, manifest, err) && !vt_manifest_subjects(&ids, m, dir, err)) {
		if (!json) {
			vt_say("subject\tpatient\tfold");
			for (int k = 0; k < m->n_channels; k++)
				vt_say("\t%s", m->channel[k].role);
			vt_say("\tmask\tlabel values\tfaults\n");
		}
		for (size_t i = 0; i < ids.n; i++) {
			bool one = false;
			struct vt_json *row = check_subject(&one, m, dir, labels, ids.v[i]);

			bad += one;
			test += vt_json_true(vt_json_get(row, "test"), false);
			if (json)
				vt_json_push(all, row);
			else
				print_row(row), vt_json_free(row);
		}
		if (json) {
			vt_json_pretty(&text, all);
			vt_json_say(text.data);
			putchar('\n');
		}
		fflush(stdout);
		vt_say_split(ids.n, test);
		if (bad)
			vt_err_set(err, VT_EDATA, "%zu of %zu subjects do not fit %s", bad, ids.n,
				manifest);
	}
	vt_buf_release(&text);
	vt_strs_release(&ids);
	vt_manifest_free(m);
	vt_json_free(all);
}

/* The manifest with a split table for the subjects of dir. */
static void place(const char *dir, const char *manifest, struct vt_err *err)
{
	struct vt_strs ids = VT_STRS_INIT;
	struct vt_manifest *m = NULL;
	struct vt_json *j = NULL, *split;
	struct vt_buf text = VT_BUF_INIT;

	if (!vt_manifest_read(&m, manifest, err) && !vt_manifest_subjects(&ids, m, dir, err)) {
		j = vt_json_copy(m->json);
		split = vt_json_get(j, "split") ? vt_json_copy(vt_json_get(j, "split"))
						: vt_json_new(VT_JSON_OBJECT);
		vt_json_put(split, "subjects", vt_manifest_place(m, &ids));
		vt_json_put(j, "split", split);
		vt_json_pretty(&text, j);
		vt_json_say(text.data);
	}
	vt_buf_release(&text);
	vt_json_free(j);
	vt_strs_release(&ids);
	vt_manifest_free(m);
}

int vt_cmd_manifest(int argc, char **argv)
{
	const char *against = NULL, *labels = NULL, *placed = NULL;
	int json = 0;
	const struct vt_opt opts[] = {
		{ 0, "check", VT_OPT_STRING, &against, "FILE",
			"check this manifest against DIR instead: a table of subjects" },
		{ 0, "place", VT_OPT_STRING, &placed, "FILE",
			"print this manifest with a table of DIR's subjects: test set and folds "
			"of equal size, by patient; subjects that have a place keep it" },
		{ 0, "labels", VT_OPT_STRING, &labels, "DIR",
			"directory of the label maps, if not DIR" },
		{ 0, "json", VT_OPT_FLAG, &json, NULL, "the table as JSON" },
		VT_OPTS_END,
	};
	struct vt_call c = {
		.usage = "manifest DIR",
		.about = "Prints a draft of a manifest for the cohort in DIR. Channels "
			 "come from file names, their JSON sidecars and dataset.json; label values "
			 "and spacing from the files. Remarks on what was left out go to standard "
			 "error. Edit the draft: only you know the names of labels and regions. "
			 "With --check, prints for every subject the file of each channel, size, "
			 "spacing, patient, fold, label values and faults; exits with 65 if there "
			 "are any.",
		.least = 1,
		.most = 1,
		.opts = opts,
		.no_store = true,
	};

	if (vt_call_begin(&c, argc, argv)) {
		if (json && !against)
			vt_err_set(&c.err, VT_EUSAGE, "--json goes with --check FILE");
		else if (labels && placed)
			vt_err_set(&c.err, VT_EUSAGE, "--labels goes with --check or a draft");
		else if (against && placed)
			vt_err_set(&c.err, VT_EUSAGE, "give --check or --place, not both");
		else if (placed)
			place(c.args.v[0], placed, &c.err);
		else if (against)
			check(c.args.v[0], labels ? labels : c.args.v[0], against, json, &c.err);
		else
			draft(c.args.v[0], labels, &c.err);
	}
	return vt_call_end(&c);
}
