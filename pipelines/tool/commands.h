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
	X("pipelines", run, "execute a spec file over committed repos, " \
		"skipping what is unchanged") \
	X("pipelines", plan, "print the datums that a run would execute") \
	X("pipelines", manifest, "drafts a manifest for a directory, or checks one against it") \
	X("pipelines", lint, "check spec files: one line a finding, " \
		"with the JSON pointer and the fix") \
	X("pipelines", datum, "list datums; run one again, open a shell in its view, " \
		"compare reruns") \
	X("pipelines", emit, "translate a spec: pachyderm, argo, argo-events, boutiques, cwl, " \
		"snakemake") \
	X("pipelines", merge, \
		"the union of what datums wrote; names the paths that two of them wrote") \
	X("pipelines", record, "write the record of a datum that another engine ran") \
	X("pipelines", logs, "show what a datum wrote to its log") \
	X("pipelines", explain, "say which datum made a path of an output commit") \
	X("pipelines", scores, "print an evaluation as a table") \
	X("pipelines", tick, "commit the present time to a cron input")
/* clang-format on */

/* clang-format off */
#define VT_COMMANDS_STORE(X) \
	X("store", commit, "take a directory into the store as a commit of a repo") \
	X("store", log, "list repos, or the commits of one") \
	X("store", ls, "list a commit's files, a directory at a time") \
	X("store", table, "subjects, their files and their split in a commit, as CSV or JSON") \
	X("store", diff, "what differs between two commits, or two results") \
	X("store", branch, "list, make, move or remove branches") \
	X("store", tag, "list, make, move or remove tags") \
	X("store", mirror, "bring the git repositories of manifests up to date") \
	X("store", attest, "sign what made an artifact; say it in SLSA, OpenLineage, PROV, " \
		"RO-Crate") \
	X("store", push, "copy a repo to another store, here or over ssh") \
	X("store", pull, "copy a repo from another store") \
	X("store", serve, "answer push and pull of another store on stdin and stdout") \
	X("store", checkout, "write a commit's files, with the records that vouch for them") \
	X("store", verify, "re-hash everything; name what is damaged") \
	X("store", gc, "find, and with --sweep remove, what nothing reaches any more") \
	X("store", pin, "keep something from gc, with a reason and a date")
/* clang-format on */

/* clang-format off */
#define VT_COMMANDS_LINEAGE(X) \
	X("lineage", import, "take in stage outputs and their records") \
	X("lineage", audit, "what an artifact was made from, down to each raw file") \
	X("lineage", descendants, "what was made from an artifact, a raw file or a subject") \
	X("lineage", subjects, "whose raw files are in an artifact, and what for") \
	X("lineage", leakage, "does an evaluation share a subject or a volume with the training?") \
	X("lineage", rerun, "do the work again: is the result the same?") \
	X("lineage", consent, "who withdrew, and what was decided about results made of them") \
	X("lineage", erase, "take a subject out of the store; tombstones stay") \
	X("lineage", history, "what was done to the store, and whether the log of it is whole") \
	X("lineage", export_log, "the history as JSON lines, for a log collector") \
	X("lineage", trust, "which records are believed, and by whose word; keys and policy") \
	X("lineage", rebuild, "make the index again from the records")
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
