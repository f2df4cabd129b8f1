/* voxtrail attest keygen|sign|verify|export: records for other people's tools. */
#include <stdio.h>
#include <string.h>

#include "pipelines/tool/attest_command.h"
#include "pipelines/tool/commands.h"
#include "pipelines/tool/command.h"

static const struct {
	const char *name;
	int least, most; /* how many arguments it takes */
	void (*run)(const struct vt_attest_request *q, struct vt_err *err);
} actions[] = {
	{ "keygen", 1, 1, vt_attest_keygen },
	{ "sign", 1, 1, vt_attest_sign },
	{ "verify", 1, 2, vt_attest_verify },
	{ "export", 1, 1, vt_attest_export },
};

static const char summary[] =
	"keygen FILE        make a key: FILE (keep it secret) and FILE.pub; --type p256 "
	"(default) or ed25519\n"
	"sign WHAT          sign the records of WHAT with --key: --format slsa (in-toto "
	"statement with SLSA provenance in a DSSE envelope, one line per execution) or, "
	"for a directory, --format oms (OpenSSF model signing 1.0)\n"
	"verify FILE [DIR]  check the signatures of FILE with --key and, with DIR, that "
	"its files are those that were signed\n"
	"export WHAT        print the records unsigned: --format slsa, openlineage, "
	"prov, or crate (RO-Crate: a new directory --out)\n"
	"WHAT is a directory with or without .lineage, a file, REPO[@REF], or the digest "
	"of a record, tree or file. Exits with 0, or with 76 if a signature or a file "
	"does not match.";

int vt_cmd_attest(int argc, char **argv)
{
	struct vt_attest_request q = { .type = "p256" };
	size_t i = 0;
	const struct vt_opt opts[] = {
		{ 0, "format", VT_OPT_STRING, &q.format, "FORM", "see above" },
		{ 0, "key", VT_OPT_STRING, &q.key, "FILE",
			"PEM: private for sign, public for verify" },
		{ 0, "type", VT_OPT_STRING, &q.type, "KIND",
			"kind of key to make: p256 or ed25519" },
		{ 0, "all", VT_OPT_FLAG, &q.all, NULL,
			"include the records of every ancestor of WHAT" },
		{ 'o', "out", VT_OPT_STRING, &q.out, "PATH", "write there instead of to stdout" },
		{ 0, "license", VT_OPT_STRING, &q.license, "URL",
			"the license to state in a crate" },
		VT_OPTS_END,
	};
	struct vt_call c = {
		.usage = "attest keygen FILE | sign WHAT | verify FILE [DIR] | export WHAT",
		.about = summary,
		.least = 2,
		.most = 3,
		.opts = opts,
	};

	if (vt_call_begin(&c, argc, argv)) {
		while (i < 4 && strcmp(actions[i].name, c.args.v[0]))
			i++;
		if (i == 4 || (int)c.args.n - 1 < actions[i].least ||
			(int)c.args.n - 1 > actions[i].most) {
			vt_err_set(&c.err, VT_EUSAGE, "usage: voxtrail %s", c.usage);
		} else {
			q.store = c.store;
			q.what = c.args.v[1];
			q.dir = c.args.n > 2 ? c.args.v[2] : NULL;
			actions[i].run(&q, &c.err);
		}
	}
	return vt_call_end(&c);
}
