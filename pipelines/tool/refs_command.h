/* refs_command.h - `voxtrail branch` and `voxtrail tag` are one command with two words. */
#ifndef PIPELINES_TOOL_REFS_COMMAND_H
#define PIPELINES_TOOL_REFS_COMMAND_H

/* kind: "heads" or "tags"; word: "branch" or "tag". */
int vt_refs_command(const char *kind, const char *word, int argc, char **argv);

#endif
