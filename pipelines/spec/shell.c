/* A reader of POSIX shell text that keeps to the lexical rules (2.2 Quoting, 2.3 Token
 * Recognition, 2.7 Redirection of the Shell Command Language) and knows just enough grammar to
 * tell where a simple command begins.  It is used to find what a command line names, so it
 * prefers reading a word too many over missing one, and never fails. */
#include "pipelines/spec/shell.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { DEPTH = 8 }; /* of $(...) inside $(...) */

struct reader {
	const char *p;
	struct vt_strs words;    /* of the command being read */
	struct vt_strs heredocs; /* delimiters that the next line ends wait for */
	vt_shell_fn each;
	void *ctx;
	int depth;
};

static void read_script(const char *script, vt_shell_fn each, void *ctx, int depth);

static bool one_of(const char *word, const char *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(word, list[i]))
			return true;
	return false;
}

static bool is_assignment(const char *word)
{
	const char *eq = strchr(word, '=');

	if (!eq || eq == word || isdigit((unsigned char)*word))
		return false;
	for (const char *p = word; p < eq; p++)
		if (!isalnum((unsigned char)*p) && *p != '_')
			return false;
	return true;
}

/* Hands over what was read of a command, without what stands in front of its name. */
static void end_command(struct reader *r)
{
	static const char *const leading[] = { "if", "then", "elif", "else", "while", "until", "do",
		"!", "{", "time" };
	static const char *const nothing[] = { "for", "case", "select", "function", "fi", "done",
		"esac", "}" };
	size_t first = 0;

	while (first < r->words.n &&
		(one_of(r->words.v[first], leading, sizeof leading / sizeof *leading) ||
			is_assignment(r->words.v[first])))
		first++;
	if (first < r->words.n &&
		!one_of(r->words.v[first], nothing, sizeof nothing / sizeof *nothing)) {
		const struct vt_strs command = { r->words.v + first, r->words.n - first, 0 };

		r->each(r->ctx, &command);
	}
	vt_strs_release(&r->words);
}

/* Skips the bodies of the here-documents that were announced on the line that ended. */
static void skip_heredocs(struct reader *r)
{
	for (size_t i = 0; i < r->heredocs.n; i++) {
		size_t n = strlen(r->heredocs.v[i]);

		while (*r->p) {
			const char *line = r->p + strspn(r->p, "\t"),
				   *end = line + strcspn(line, "\n");
			bool last =
				(size_t)(end - line) == n && !strncmp(line, r->heredocs.v[i], n);

			r->p = end + (*end == '\n');
			if (last)
				break;
		}
	}
	vt_strs_release(&r->heredocs);
}

/* p stands behind "$(" or a backquote; returns where the inside ends. */
static const char *inside_end(const char *p, char closing)
{
	int open = 1;
	char quote = 0;

	for (; *p; p++) {
		if (*p == '\\' && p[1] && quote != '\'') {
			p++;
		} else if (quote) {
			quote = *p == quote ? 0 : quote;
		} else if (closing == ')' && (*p == '\'' || *p == '"')) {
			quote = *p;
		} else if (closing == ')' && *p == '(') {
			open++;
		} else if (*p == closing && --open == 0) {
			break;
		}
	}
	return p;
}

/* A command substitution: read as a script of its own, and kept in the word as it stands. */
static void substitution(struct reader *r, struct vt_buf *word, const char *inside, char closing)
{
	const char *end = inside_end(inside, closing);
	char *script = vt_xstrndup(inside, (size_t)(end - inside));

	if (r->depth < DEPTH && !(closing == ')' && *inside == '(')) /* $((...)) computes */
		read_script(script, r->each, r->ctx, r->depth + 1);
	free(script);
	end += *end != 0;
	vt_buf_add(word, r->p, (size_t)(end - r->p));
	r->p = end;
}

/* One character or substitution of a word, inside double quotes or outside any. */
static void word_part(struct reader *r, struct vt_buf *word)
{
	if (*r->p == '\\' && r->p[1] == '\n') {
		r->p += 2;
	} else if (*r->p == '\\' && r->p[1]) {
		vt_buf_char(word, r->p[1]);
		r->p += 2;
	} else if (!strncmp(r->p, "$(", 2)) {
		substitution(r, word, r->p + 2, ')');
	} else if (*r->p == '`') {
		substitution(r, word, r->p + 1, '`');
	} else if (!strncmp(r->p, "${", 2)) {
		const char *end = r->p + strcspn(r->p, "}");

		end += *end != 0;
		vt_buf_add(word, r->p, (size_t)(end - r->p));
		r->p = end;
	} else {
		vt_buf_char(word, *r->p++);
	}
}

/* The word at r->p, quotes taken off.  *quoted: a part of it was in quotes, so "" is a word too. */
static char *read_word(struct reader *r, bool *quoted)
{
	struct vt_buf word = VT_BUF_INIT;

	*quoted = false;
	while (*r->p && !strchr(" \t\n;|&<>()", *r->p)) {
		if (*r->p == '\'') {
			const char *end = strchr(r->p + 1, '\'');
			size_t n = end ? (size_t)(end - r->p) - 1 : strlen(r->p + 1);

			vt_buf_add(&word, r->p + 1, n);
			r->p += n + 1 + (end != NULL);
			*quoted = true;
		} else if (*r->p == '"') {
			for (r->p++; *r->p && *r->p != '"';)
				word_part(r, &word);
			r->p += *r->p != 0;
			*quoted = true;
		} else {
			word_part(r, &word);
		}
	}
	return vt_buf_detach(&word);
}

/* At < or >: the operator and the file it names; the delimiter of a here-document is kept. */
static void redirection(struct reader *r)
{
	bool here = !strncmp(r->p, "<<", 2) && r->p[2] != '<', quoted;

	r->p += strspn(r->p, "<>");
	r->p += here && *r->p == '-';
	r->p += *r->p == '&' || *r->p == '|';
	r->p += strspn(r->p, " \t");
	char *target = read_word(r, &quoted);

	if (here && *target)
		vt_strs_add(&r->heredocs, target);
	free(target);
}

static void separator(struct reader *r)
{
	bool line = *r->p == '\n';

	if (!strncmp(r->p, "&>", 2)) {
		r->p++;
		redirection(r);
		return;
	}
	r->p++;
	end_command(r);
	if (line)
		skip_heredocs(r);
}

static void read_script(const char *script, vt_shell_fn each, void *ctx, int depth)
{
	struct reader r = { script, VT_STRS_INIT, VT_STRS_INIT, each, ctx, depth };

	while (*r.p) {
		bool quoted;

		r.p += strspn(r.p, " \t");
		if (!*r.p)
			break;
		if (*r.p == '#') {
			r.p += strcspn(r.p, "\n");
		} else if (*r.p == '<' || *r.p == '>') {
			redirection(&r);
		} else if (strchr("\n;|&()", *r.p)) {
			separator(&r);
		} else {
			char *word = read_word(&r, &quoted);
			bool descriptor = (*r.p == '<' || *r.p == '>') && *word && !quoted &&
				strspn(word, "0123456789") == strlen(word);

			if ((*word || quoted) && !descriptor)
				vt_strs_add(&r.words, word);
			free(word);
		}
	}
	end_command(&r);
	vt_strs_release(&r.heredocs);
}

void vt_shell_commands(const char *script, vt_shell_fn each, void *ctx)
{
	read_script(script, each, ctx, 0);
}

/* --- paths below /pfs ---------------------------------------------------- */

static const char before_path[] = " =:'\"\t\n(<>;|&,`", after_path[] = " =:'\"\t\n)<>;|&,`";

const char *vt_pfs_next(const char *text, const char *start, size_t *length)
{
	for (const char *p = strstr(text, "/pfs"); p; p = strstr(p + 1, "/pfs")) {
		bool begins = p == start || strchr(before_path, p[-1]);

		if (!begins || (p[4] && p[4] != '/' && !strchr(after_path, p[4])))
			continue;
		*length = strcspn(p, after_path);
		return p;
	}
	return NULL;
}

char *vt_pfs_prefix(const char *text, const char *root)
{
	struct vt_buf b = VT_BUF_INIT;
	const char *p = text, *at;
	size_t n;

	vt_buf_str(&b, "");
	vt_buf_reserve(&b, 1);
	while ((at = vt_pfs_next(p, text, &n))) {
		vt_buf_add(&b, p, (size_t)(at - p));
		vt_buf_str(&b, root);
		p = at + 4;
	}
	vt_buf_str(&b, p);
	return vt_buf_detach(&b);
}
