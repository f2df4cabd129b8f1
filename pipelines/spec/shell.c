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
static void end_command(struct reader *reader)
{
	static const char *const leading[] = { "if", "then", "elif", "else", "while", "until", "do",
		"!", "{", "time" };
	static const char *const nothing[] = { "for", "case", "select", "function", "fi", "done",
		"esac", "}" };
	size_t first = 0;

	/* words before the name of a command: reserved ones, assignments */
	while (first < reader->words.n &&
		(one_of(reader->words.v[first], leading, sizeof leading / sizeof *leading) ||
			is_assignment(reader->words.v[first])))
		first++;
	/* no command: loops over words, ends of blocks */
	if (first < reader->words.n &&
		!one_of(reader->words.v[first], nothing, sizeof nothing / sizeof *nothing)) {
		const struct vt_strs command = { reader->words.v + first, reader->words.n - first,
			0 };

		reader->each(reader->ctx, &command);
	}
	vt_strs_release(&reader->words);
}

/* Skips the bodies of the here-documents that were announced on the line that ended. */
static void skip_heredocs(struct reader *reader)
{
	for (size_t i = 0; i < reader->heredocs.n; i++) {
		size_t n = strlen(reader->heredocs.v[i]);

		while (*reader->p) {
			/* tabs before it are allowed after <<- only, but no delimiter begins with
			 * one */
			const char *line = reader->p + strspn(reader->p, "\t"),
				   *end = line + strcspn(line, "\n");
			bool last = (size_t)(end - line) == n &&
				!strncmp(line, reader->heredocs.v[i], n);

			reader->p = end + (*end == '\n');
			if (last)
				break;
		}
	}
	vt_strs_release(&reader->heredocs);
}

/* p stands behind "$(" or a backquote; returns where the inside ends. */
static const char *inside_end(const char *p, char closing)
{
	int open = 1;
	char quote = 0;

	for (; *p; p++) {
		/* within single quotes a backslash is a backslash */
		if (*p == '\\' && p[1] && quote != '\'') {
			p++;
		} else if (quote) {
			quote = *p == quote ? 0 : quote;
			/* in backquotes quotes are not looked at */
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
static void substitution(struct reader *reader, struct vt_buf *word, const char *inside,
	char closing)
{
	const char *end = inside_end(inside, closing);
	char *script = vt_xstrndup(inside, (size_t)(end - inside));

	if (reader->depth < DEPTH && !(closing == ')' && *inside == '(')) /* $((...)) computes */
		read_script(script, reader->each, reader->ctx, reader->depth + 1);
	free(script);
	end += *end != 0;
	vt_buf_add(word, reader->p, (size_t)(end - reader->p));
	reader->p = end;
}

/* One character or substitution of a word, inside double quotes or outside any. */
static void word_part(struct reader *reader, struct vt_buf *word)
{
	/* a continued line */
	if (*reader->p == '\\' && reader->p[1] == '\n') {
		reader->p += 2;
	} else if (*reader->p == '\\' && reader->p[1]) {
		vt_buf_char(word, reader->p[1]);
		reader->p += 2;
	} else if (!strncmp(reader->p, "$(", 2)) {
		substitution(reader, word, reader->p + 2, ')');
	} else if (*reader->p == '`') {
		substitution(reader, word, reader->p + 1, '`');
	} else if (!strncmp(reader->p, "${", 2)) {
		const char *end = reader->p + strcspn(reader->p, "}");

		end += *end != 0;
		vt_buf_add(word, reader->p, (size_t)(end - reader->p));
		reader->p = end;
	} else {
		vt_buf_char(word, *reader->p++);
	}
}

/* The word at reader->p, quotes taken off.  *quoted: a part of it was in quotes, so "" is a word
 * too. */
static char *read_word(struct reader *reader, bool *quoted)
{
	struct vt_buf word = VT_BUF_INIT;

	*quoted = false;
	while (*reader->p && !strchr(" \t\n;|&<>()", *reader->p)) {
		if (*reader->p == '\'') {
			const char *end = strchr(reader->p + 1, '\'');
			size_t n = end ? (size_t)(end - reader->p) - 1 : strlen(reader->p + 1);

			vt_buf_add(&word, reader->p + 1, n);
			reader->p += n + 1 + (end != NULL);
			*quoted = true;
		} else if (*reader->p == '"') {
			for (reader->p++; *reader->p && *reader->p != '"';)
				word_part(reader, &word);
			reader->p += *reader->p != 0;
			*quoted = true;
		} else {
			word_part(reader, &word);
		}
	}
	return vt_buf_detach(&word);
}

/* At < or >: the operator and the file it names; the delimiter of a here-document is kept. */
static void redirection(struct reader *reader)
{
	bool here = !strncmp(reader->p, "<<", 2) && reader->p[2] != '<', quoted;

	reader->p += strspn(reader->p, "<>");
	/* <<- and >&, >|, <& */
	reader->p += here && *reader->p == '-';
	reader->p += *reader->p == '&' || *reader->p == '|';
	reader->p += strspn(reader->p, " \t");
	char *target = read_word(reader, &quoted);

	if (here && *target)
		vt_strs_add(&reader->heredocs, target);
	free(target);
}

static void separator(struct reader *reader)
{
	bool line = *reader->p == '\n';

	/* &> redirects both outputs */
	if (!strncmp(reader->p, "&>", 2)) {
		reader->p++;
		redirection(reader);
		return;
	}
	reader->p++;
	end_command(reader);
	if (line)
		skip_heredocs(reader);
}

static void read_script(const char *script, vt_shell_fn each, void *ctx, int depth)
{
	struct reader r = { script, VT_STRS_INIT, VT_STRS_INIT, each, ctx, depth };

	while (*r.p) {
		bool quoted;

		r.p += strspn(r.p, " \t");
		if (!*r.p)
			break;
		/* a comment, as words have been taken off */
		if (*r.p == '#') {
			r.p += strcspn(r.p, "\n");
		} else if (*r.p == '<' || *r.p == '>') {
			redirection(&r);
		} else if (strchr("\n;|&()", *r.p)) {
			separator(&r);
		} else {
			char *word = read_word(&r, &quoted);
			/* 2>file: the number belongs to the redirection */
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

/* what may stand before a path and after one */
static const char before_path[] = " =:'\"\t\n(<>;|&,`", after_path[] = " =:'\"\t\n)<>;|&,`";

const char *vt_pfs_next(const char *text, const char *start, size_t *length)
{
	for (const char *p = strstr(text, "/pfs"); p; p = strstr(p + 1, "/pfs")) {
		/* p[-1] is read only behind the start of the text */
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
	/* an empty text is "", not NULL */
	vt_buf_reserve(&b, 1);
	while ((at = vt_pfs_next(p, text, &n))) {
		vt_buf_add(&b, p, (size_t)(at - p));
		vt_buf_str(&b, root);
		p = at + 4;
	}
	vt_buf_str(&b, p);
	return vt_buf_detach(&b);
}
