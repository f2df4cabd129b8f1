/* voxtrail attest keygen|sign|verify|export: records for other people's tools. */
#include <stdio.h>
#include <string.h>

#include "pipelines/attest_command.h"
#include "pipelines/commands.h"
#include "pipelines/runner/command.h"

static const struct {
	const char *name;
	int least, most;                     /* how many arguments it takes */
	void (*run)(const struct vt_attest_request *q, struct vt_err *err);
} actions[] = {
	{ "keygen", 1, 1, vt_attest_keygen },
	{ "sign", 1, 1, vt_attest_sign },
	{ "verify", 1, 2, vt_attest_verify },
	{ "export", 1, 1, vt_attest_export },
};

static const char summary[] =
	"keygen FILE          makes a key: FILE (keep it secret) and FILE.pub; --type p256 (default) or ed25519\n"
	"sign WHAT            signs with --key what made WHAT: --format slsa (in-toto statement with SLSA provenance "
	"in a DSSE envelope, one\n"
	"                     line an execution) or, for a directory, --format oms (OpenSSF model signing 1.0)\n"
	"verify FILE [DIR]    checks the signatures of FILE with --key and, with DIR, that its files are what was "
	"signed\n"
	"export WHAT          prints unsigned: --format slsa, openlineage, prov, or crate (RO-Crate: a new directory "
	"--out)\n"
	"WHAT is a directory with or without .lineage, a file, REPO[@REF], or the digest of a record, tree or file.\n"
	"Exits with 0, or 76 where a signature or a file is not what it should be.";

int vt_cmd_attest(int argc, char **argv)
{
	struct vt_err err = VT_ERR_INIT;
	struct vt_strs rest = VT_STRS_INIT;
	struct vt_attest_request q = { .store = vt_default_store(), .type = "p256" };
	int help = 0;
	size_t i = 0;
	const struct vt_opt opts[] = {
		{ 0, "store", VT_OPT_STRING, &q.store, "DIR",
			"where results are kept (default $VOXTRAIL_STORE or .voxtrail)" },
		{ 0, "format", VT_OPT_STRING, &q.format, "FORM", "see above" },
		{ 0, "key", VT_OPT_STRING, &q.key, "FILE", "PEM: private for sign, public for verify" },
		{ 0, "type", VT_OPT_STRING, &q.type, "KIND", "kind of key to make: p256 or ed25519" },
		{ 0, "all", VT_OPT_FLAG, &q.all, NULL, "of every ancestor too, not only of what made WHAT itself" },
		{ 'o', "out", VT_OPT_STRING, &q.out, "PATH", "write there instead of to stdout" },
		{ 0, "license", VT_OPT_STRING, &q.license, "URL", "licence that a crate states" },
		{ 'h', "help", VT_OPT_FLAG, &help, NULL, "this text" },
		{ 0, NULL, VT_OPT_END, NULL, NULL, NULL },
	};

	if (vt_opts_parse(opts, argc, argv, &rest, &err))
		goto out;
	if (help) {
		vt_command_help("attest keygen|sign|verify|export ...", summary, opts);
		goto out;
	}
	while (rest.n && i < 4 && strcmp(actions[i].name, rest.v[0]))
		i++;
	if (!rest.n || i == 4 || (int)rest.n - 1 < actions[i].least || (int)rest.n - 1 > actions[i].most) {
		vt_err_set(&err, VT_EUSAGE, "usage: voxtrail attest keygen FILE, sign WHAT, verify FILE [DIR] or "
			"export WHAT; see --help");
		goto out;
	}
	q.what = rest.v[1];
	q.dir = rest.n > 2 ? rest.v[2] : NULL;
	actions[i].run(&q, &err);
out:
	vt_strs_release(&rest);
	return vt_command_end("attest", &err);
}
