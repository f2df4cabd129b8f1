/* inputs.c - what the ports are given: a tree each, the records beside it, whose consent it needs,
 * and the derivation that follows. */
#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/record/record_dir.h"
#include "common/stage/stage_internal.h"

int vt_stage_port(const struct vt_stage_run *run, const char *port)
{
	for (int i = 0; i < vt_stage_n_ports(run->stage); i++)
		if (!strcmp(run->stage->in[i].name, port))
			return i;
	return -1;
}

const char *vt_stage_input(const struct vt_stage_run *run, const char *port)
{
	int i = vt_stage_port(run, port);

	return i < 0 ? NULL : run->root[i];
}

const char *vt_stage_tree(const struct vt_stage_run *run, const char *port)
{
	int i = vt_stage_port(run, port);

	return i < 0 || !run->tree[i] ? NULL : run->tree_hex[i];
}

char *vt_stage_real_place(const char *path)
{
	const char *root = getenv("PFS_ROOT");

	if (root && !strncmp(path, "/pfs", 4) && (path[4] == '/' || !path[4]))
		return vt_asprintf("%s%s", root, path + 4);
	return vt_xstrdup(path);
}

static int open_file_port(struct vt_stage_run *run, int i, struct vt_err *err)
{
	struct vt_tree_file f = { .path = NULL };
	int rc;

	if (vt_fs_is_dir(run->root[i])) {
		char *path = vt_asprintf("%s/%s.json", run->root[i], run->stage->in[i].name);

		if (vt_fs_is_absent(path))
			vt_err_set(err, VT_ENOINPUT,
				"%s is a directory, and no %s.json is in it; "
				"give a file: %s",
				run->root[i], run->stage->in[i].name, run->stage->in[i].help);
		free(run->root[i]);
		run->root[i] = path;
		if (err->code)
			return err->code;
	}
	rc = vt_digest_file(&f.digest, &f.size, run->root[i], err);
	if (rc)
		return rc;
	/* the name it had is no part of what it says */
	f.path = vt_asprintf("%s.json", run->stage->in[i].name);
	rc = vt_tree_from_files(&run->tree[i], &f, 1, err);
	free(f.path);
	return rc;
}

/* The records beside an input, and beside what lies in it, as members of an ensemble do; one that
 * lies about a file that is there is refused.  A datum may see only some of the files. */
static int read_parents(struct vt_stage_run *run, int i, struct vt_err *err)
{
	struct vt_record_dir c;
	int rc = vt_record_dir_read(&c, run->root[i], err);

	if (rc)
		return rc;
	rc = vt_record_dir_check(&c, run->tree[i], run->root[i], VT_RECORD_DIR_PART, NULL, NULL,
		err);
	if (!rc)
		rc = vt_consent_check_input(&run->consent, run->tree[i],
			run->stage->learns ? &c : NULL, run->root[i], err);
	if (!rc && strcmp(run->stage->in[i].name, "labels"))
		rc = vt_consent_check_content(&run->consent, run->tree[i], run->root[i], err);
	for (size_t k = 0; !rc && k < c.n; k++) {
		if (c.v[k].own)
			vt_strs_add(&run->parents[i], c.v[k].id);
		vt_strs_add(&run->ancestors, c.v[k].text);
	}
	vt_record_dir_release(&c);
	return rc;
}

static int open_port(struct vt_stage_run *run, int i, struct vt_err *err)
{
	const struct vt_port *p = &run->stage->in[i];
	char *path;
	int rc;

	if (!run->given[i])
		return p->optional
			? 0
			: vt_err_set(err, VT_EUSAGE, "--%s is missing: %s", p->name, p->help);
	path = vt_stage_real_place(run->given[i]);
	run->root[i] = vt_fs_realpath(path, err);
	free(path);
	if (!run->root[i])
		return vt_err_prefix(err, "--%s", p->name);
	if (p->kind == VT_PORT_FILE) {
		rc = open_file_port(run, i, err);
	} else {
		rc = vt_fs_is_dir(run->root[i])
			? vt_tree_hash_links(&run->tree[i], run->root[i], run->follow_links, err)
			: vt_err_set(err, VT_ENOINPUT,
				  "%s is a file; give the directory that holds it: %s",
				  run->root[i], p->help);
		if (!rc)
			rc = read_parents(run, i, err);
	}
	if (rc)
		return vt_err_prefix(err, "--%s", p->name);
	vt_digest_hex(run->tree_hex[i], &run->tree[i]->id);
	return 0;
}

int vt_stage_read_consent(struct vt_stage_run *run, const char *store, struct vt_err *err)
{
	const char *named = getenv("VOXTRAIL_CONSENT");

	if (store)
		return vt_consent_read_store(&run->consent, store, err);
	return named && *named ? vt_consent_read_named(&run->consent, named, err) : 0;
}

int vt_stage_open_inputs(struct vt_stage_run *run, struct vt_err *err)
{
	struct vt_record_port in[VT_MAX_PORTS];
	int n = vt_stage_n_ports(run->stage), rc = 0;
	struct vt_record record = { .stage = run->stage->name,
		.version = run->stage->version,
		.binary = run->binary,
		.params = run->params_json,
		.input = in,
		.n_inputs = (size_t)n };

	for (int i = 0; !rc && i < n; i++) {
		rc = open_port(run, i, err);
		in[i] = (struct vt_record_port){ run->stage->in[i].name, run->tree[i], NULL };
	}
	vt_strs_unique(&run->ancestors);
	if (!rc)
		rc = vt_record_derivation(&run->derivation, &record, err);
	vt_digest_hex(run->derivation_hex, &run->derivation);
	return rc;
}
