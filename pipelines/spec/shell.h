/* shell.h - what can be read off the words of commands without running them: the simple
 * commands of a shell script, and the paths below /pfs that a text names.
 *
 *      vt_shell_commands("for f in /pfs/scans/sub-1; do nice train --in \"$f\"; done", each, ctx);
 *
 * calls each(ctx, {"nice", "train", "--in", "$f"}).  Quotes are taken off; assignments, key
 * words and redirections in front of or inside a command are left out, comments and
 * here-documents skipped; what stands in $(...) or backquotes is read as commands of their own.
 * Nothing is expanded: a word that holds a `$` keeps it. */
#ifndef PIPELINES_SPEC_SHELL_H
#define PIPELINES_SPEC_SHELL_H

#include <stdbool.h>

#include "common/base/buf.h"

typedef void (*vt_shell_fn)(void *ctx, const struct vt_strs *words);
void vt_shell_commands(const char *script, vt_shell_fn each, void *ctx);

/* The next place at or behind `text` where a path /pfs or /pfs/... begins; NULL if there is
 * none.  start is the beginning of the whole text, which is looked at for the character in
 * front.  *length: of the path as it stands there, up to what ends a word of a shell line. */
const char *vt_pfs_next(const char *text, const char *start, size_t *length);

/* Every /pfs that begins a path in `text` replaced by `root`; caller frees. */
char *vt_pfs_prefix(const char *text, const char *root);

#endif
