/* commands.h - the commands of the voxtrail tool.
 *
 * A command `name` is one function vt_cmd_<name>(argc, argv) in pipelines/tool/cmd_<name>.c:
 * argv[0] is the command's own name, the return value is the exit status (err.h), and command.h
 * has how it begins and ends.  Adding one takes a line in the list of its group; the lists are
 * the only source of dispatch and of `voxtrail --help`. */
#ifndef PIPELINES_TOOL_COMMANDS_H
#define PIPELINES_TOOL_COMMANDS_H

/* X(group, name, summary) */
/* clang-format off */
#define VT_COMMANDS_PIPELINES(X) \
	X("pipelines", run, "execute a spec file over committed repos, skip what is unchanged") \
	X("pipelines", plan, "print the datums that a run would execute") \
	X("pipelines", manifest, "draft a manifest for a directory, or check one against it") \
	X("pipelines", lint, "check spec files: one line per finding, with the fix") \
	X("pipelines", datum, "list datums, run one again, open a shell in its view, compare") \
	X("pipelines", emit, "translate a spec to argo, cwl, snakemake, boutiques, pachyderm") \
	X("pipelines", merge, "merge the outputs of datums; report paths that two of " \
		"them wrote") \
	X("pipelines", record, "write the record of a datum that another engine ran") \
	X("pipelines", logs, "print the log of a datum") \
	X("pipelines", explain, "print which datum wrote a path of an output commit") \
	X("pipelines", scores, "print an evaluation as a table") \
	X("pipelines", tick, "commit the current time to a cron input")
/* clang-format on */

/* clang-format off */
#define VT_COMMANDS_STORE(X) \
	X("store", commit, "ingest a directory as a commit of a repo") \
	X("store", log, "list repos, or the commits of one") \
	X("store", ls, "list the files of a commit, one directory at a time") \
	X("store", table, "list a commit's subjects with files and split, as CSV or JSON") \
	X("store", diff, "list what differs between two commits or two results") \
	X("store", branch, "list, make, move or remove branches") \
	X("store", tag, "list, make, move or remove tags") \
	X("store", mirror, "update the git repositories that mirror the repos") \
	X("store", attest, "sign records; print them as SLSA, OpenLineage, PROV, RO-Crate") \
	X("store", push, "copy a repo to another store, on this machine or over ssh") \
	X("store", pull, "copy a repo from another store") \
	X("store", serve, "answer push and pull of another store on stdin and stdout") \
	X("store", checkout, "write the files of a commit, with their records") \
	X("store", verify, "hash everything again and report damage") \
	X("store", gc, "find unreachable objects, and remove them with --sweep") \
	X("store", pin, "protect something from gc, with a reason and a date")
/* clang-format on */

/* clang-format off */
#define VT_COMMANDS_LINEAGE(X) \
	X("lineage", import, "ingest outputs of stages with their records") \
	X("lineage", audit, "print what an artifact was made from, back to each raw file") \
	X("lineage", descendants, "print what was made from an artifact, a raw file or " \
		"a subject") \
	X("lineage", subjects, "print whose raw files an artifact was made from, and their use") \
	X("lineage", leakage, "check whether evaluation and training share subjects or volumes") \
	X("lineage", rerun, "repeat the work and compare the result") \
	X("lineage", consent, "record withdrawals, and decisions about results made from them") \
	X("lineage", erase, "remove a subject's files from the store; tombstones stay") \
	X("lineage", history, "print what was done to the store; check that the log is " \
		"complete") \
	X("lineage", export_log, "print the history as JSON lines, for a log collector") \
	X("lineage", trust, "manage which records are believed, with keys and policy") \
	X("lineage", rebuild, "rebuild the index from the records")
/* clang-format on */

/* clang-format off */
#define VT_COMMANDS(X) \
	VT_COMMANDS_PIPELINES(X) \
	VT_COMMANDS_STORE(X) \
	VT_COMMANDS_LINEAGE(X)
/* clang-format on */

#define VT_COMMAND_DECLARE(group, name, summary) int vt_cmd_##name(int argc, char **argv);
VT_COMMANDS(VT_COMMAND_DECLARE)
#undef VT_COMMAND_DECLARE

#endif
