/* A backtracking matcher over the pattern text itself.  A point of the search is (where in the
 * pattern, where in the path, what to do behind the end of this piece of pattern); the last is a
 * chain of `struct next` on the C stack.
 *
 * What fails once fails again: failures are remembered, so that the work grows with a power of the
 * lengths and not with the number of ways to match.  A place in the pattern lies in one known nest
 * of groups, so all that the chain adds to (pattern, path) is how many of the repeats around it
 * have consumed nothing in this round, which is always the innermost ones, and, within !(...),
 * where the excluded text must end.  Captures decide nothing.  Short searches, nearly all, keep no
 * list. */
#include "pipelines/spec/glob.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"

/* A point of the search from which there is no match. */
struct dead_end {
	const char *pattern; /* NULL: a free place of the table */
	const char *path;
	const char *stop; /* where the text must end; NULL: where the path does */
	size_t unmoved;   /* repeats around it that consumed nothing in this round */
};

struct search {
	struct vt_glob_match *m;
	struct dead_end *dead; /* hashed, open addressing; owned; NULL while the search is short */
	size_t n, cap;         /* cap: a power of 2 */
};

struct next {
	bool (*go)(struct search *m, const struct next *k, const char *s);
	const char *p, *end; /* pattern that follows */
	const struct next *then;
	int group; /* close group: which one, else -1 */
	/* enclosing continuation, on the caller's stack */
	char kind; /* repeat: '*', '+' */
	const char *body, *body_end;
	/* repeat: where this round began; !(...): where the excluded text began */
	const char *from;
	const char *pattern;
};

static bool match(struct search *search, const char *pattern, const char *p, const char *end,
	const char *s, const struct next *k);

/* The index in [p, end) of the bracket that closes p[0], or NULL. */
static const char *closing(const char *p, const char *end)
{
	/* "(", or "{" */
	char open = *p, close = open == '(' ? ')' : '}';
	int depth = 0;
	for (; p < end; p++) {
		if (*p == '\\' && p + 1 < end)
			p++;
		else if (*p == open)
			depth++;
		else if (*p == close && --depth == 0)
			return p;
	}
	return NULL;
}

static const char *class_end(const char *p, const char *end)
{
	const char *q = p + 1;
	if (q < end && (*q == '!' || *q == '^'))
		q++;
	/* a ] that stands first is a member */
	for (const char *first = q; q < end; q++) {
		if (*q == '\\' && q + 1 < end)
			q++;
		else if (*q == ']' && q > first)
			return q;
	}
	return NULL;
}

static bool in_class(const char *p, const char *end, char c)
{
	bool not = p[1] == '!' || p[1] == '^', found = false;
	for (p += not ? 2 : 1; p < end; p++) {
		if (*p == '\\' && p + 1 < end)
			p++;
		if (p + 2 < end && p[1] == '-') {
			found |= c >= p[0] && c <= p[2];
			p += 2;
		} else {
			found |= c == *p;
		}
	}
	return found != not ;
}

static bool is_extended(const char *p, const char *end)
{
	return p + 1 < end && p[1] == '(' && strchr("@!+*?", *p);
}

static int group_number(const char *pattern, const char *open)
{
	int n = 0;
	for (const char *p = pattern; p < open; p++) {
		if (*p == '\\' && p[1])
			p++;
		else if (*p == '(')
			n++;
	}
	return n;
}

/* End of the alternative that begins at p: the separator at depth 0, or end. */
static const char *alternative_end(const char *p, const char *end, char separator)
{
	int depth = 0;
	for (; p < end; p++) {
		if (*p == '\\' && p + 1 < end)
			p++;
		else if (*p == '(' || *p == '{')
			depth++;
		else if (*p == ')' || *p == '}')
			depth--;
		else if (*p == separator && !depth)
			break;
	}
	return p;
}

static bool go_on(struct search *search, const struct next *k, const char *s)
{
	return match(search, k->pattern, k->p, k->end, s, k->then);
}

static bool go_close(struct search *search, const struct next *k, const char *s)
{
	/* set before what follows is tried, and taken back if that fails */
	int from = search->m->group[k->group].from, to = search->m->group[k->group].to;
	search->m->group[k->group].from = (int)(k->from - search->m->path);
	search->m->group[k->group].to = (int)(s - search->m->path);
	if (match(search, k->pattern, k->p, k->end, s, k->then))
		return true;
	search->m->group[k->group].from = from;
	search->m->group[k->group].to = to;
	return false;
}

static bool alternatives(struct search *search, const char *pattern, const char *p, const char *end,
	char separator, const char *s, const struct next *k)
{
	for (;;) {
		const char *e = alternative_end(p, end, separator);
		if (match(search, pattern, p, e, s, k))
			return true;
		if (e >= end)
			return false;
		p = e + 1;
	}
}

static bool go_repeat(struct search *search, const struct next *k, const char *s)
{
	struct next again = *k;
	/* body: where the next round begins */
	again.body = s;
	/* a round that consumed nothing would go on for ever */
	if (s != k->body && alternatives(search, k->pattern, k->p, k->body_end, '|', s, &again))
		return true;
	return k->then->go(search, k->then, s);
}

static bool go_end(struct search *search, const struct next *k, const char *s)
{
	(void)search;
	/* at the end of the path, or of the text that !(...) excludes */
	return k->from ? s == k->from : !*s;
}

/* !(list): the longest text of one element first that no alternative matches whole. */
static bool excluded(struct search *search, const char *pattern, const char *p, const char *end,
	const char *s, const struct next *close)
{
	size_t n = strcspn(s, "/");
	/* every end of the element, the longest first */
	for (const char *e = s + n; e >= s; e--) {
		struct next stop = { .go = go_end, .from = e, .group = -1, .pattern = pattern };
		struct vt_glob_match before = *search->m;
		bool is_one = alternatives(search, pattern, p, end, '|', s, &stop);

		/* steps count work, whatever became of it */
		before.steps = search->m->steps;
		*search->m = before; /* an excluded text captures nothing */
		if (!is_one && close->go(search, close, e))
			return true;
	}
	return false;
}

static bool group(struct search *search, const char *pattern, const char *p, const char *end,
	const char *s, const struct next *k)
{
	char kind = *p == '(' ? '@' : *p;
	/* a plain (...) is @(...): one of the alternatives */
	const char *open = *p == '(' ? p : p + 1, *shut = closing(open, end);
	if (!shut)
		return false;
	struct next close = { .go = go_close,
		.p = shut + 1,
		.end = end,
		.then = k,
		.from = s,
		.pattern = pattern,
		.group = group_number(pattern, open) };
	if (kind == '!')
		return excluded(search, pattern, open + 1, shut, s, &close);
	struct next repeat = { .go = go_repeat,
		.p = open + 1,
		.body_end = shut,
		.body = s,
		.then = &close,
		.group = -1,
		.pattern = pattern };
	if (alternatives(search, pattern, open + 1, shut, '|', s,
		    kind == '*' || kind == '+' ? &repeat : &close))
		return true;
	/* none at all, after the ones that consume something */
	return (kind == '*' || kind == '?') && close.go(search, &close, s);
}

static bool star(struct search *search, const char *pattern, const char *p, const char *end,
	const char *s, const struct next *k)
{
	bool across = p + 1 < end && p[1] == '*';
	p += across ? 2 : 1;
	size_t n = across ? strlen(s) : strcspn(s, "/");
	/* greedy: the longest first, as captures show which one it was */
	for (const char *e = s + n; e >= s; e--)
		if (match(search, pattern, p, end, e, k))
			return true;
	return false;
}

static bool match_piece(struct search *search, const char *pattern, const char *p, const char *end,
	const char *s, const struct next *k)
{
	while (p < end) {
		if (is_extended(p, end) || *p == '(')
			return group(search, pattern, p, end, s, k);
		if (*p == '*')
			return star(search, pattern, p, end, s, k);
		if (*p == '{') {
			const char *shut = closing(p, end);
			struct next on = { .go = go_on,
				.p = shut ? shut + 1 : end,
				.end = end,
				.then = k,
				.group = -1,
				.pattern = pattern };
			return shut && alternatives(search, pattern, p + 1, shut, ',', s, &on);
		}
		if (!*s)
			return false;
		if (*p == '[') {
			const char *shut = class_end(p, end);
			if (!shut || *s == '/' || !in_class(p, shut, *s))
				return false;
			p = shut;
		} else if (*p == '?') {
			if (*s == '/')
				return false;
		} else {
			if (*p == '\\' && p + 1 < end)
				p++;
			if (*p != *s)
				return false;
		}
		p++;
		s++;
	}
	return k->go(search, k, s);
}

/* --- dead ends ----------------------------------------------------------- */

/* below so many steps no list of dead ends pays */
enum { SHORT_SEARCH = 256 };

static size_t hash_of(const struct search *search, const struct dead_end *end)
{
	uint64_t h = (uint64_t)(end->path - search->m->path);

	/* addresses are of one search alone: they reach no output */
	h = h * 0x9e3779b97f4a7c15u + (uintptr_t)end->pattern;
	h = h * 0x9e3779b97f4a7c15u + (uintptr_t)end->stop;
	h = h * 0x9e3779b97f4a7c15u + end->unmoved;
	return (size_t)(h ^ h >> 29);
}

/* Its place in the table, or the free one where it belongs. */
static struct dead_end *place_of(const struct search *search, const struct dead_end *end)
{
	for (size_t i = hash_of(search, end);; i++) {
		struct dead_end *at = &search->dead[i & (search->cap - 1)];

		if (!at->pattern ||
			(at->pattern == end->pattern && at->path == end->path &&
				at->stop == end->stop && at->unmoved == end->unmoved))
			return at;
	}
}

static void remember(struct search *search, const struct dead_end *end)
{
	/* at most half full, so that probing ends */
	if (2 * search->n >= search->cap) {
		struct search wider = { .m = search->m,
			.n = search->n,
			.cap = search->cap ? 2 * search->cap : 1024 };

		wider.dead = vt_xcalloc(wider.cap, sizeof *wider.dead);
		for (size_t i = 0; i < search->cap; i++)
			if (search->dead[i].pattern)
				*place_of(&wider, &search->dead[i]) = search->dead[i];
		free(search->dead);
		*search = wider;
	}
	*place_of(search, end) = *end;
	search->n++;
}

static struct dead_end point_of(const char *p, const char *s, const struct next *k)
{
	struct dead_end d = { .pattern = p, .path = s };

	for (; k; k = k->then) {
		if (k->go == go_repeat && k->body == s)
			d.unmoved++;
		if (k->go == go_end)
			d.stop = k->from;
	}
	return d;
}

static bool match(struct search *search, const char *pattern, const char *p, const char *end,
	const char *s, const struct next *k)
{
	/* counted before it is decided whether to remember */
	if (++search->m->steps < SHORT_SEARCH)
		return match_piece(search, pattern, p, end, s, k);

	struct dead_end here = point_of(p, s, k);

	if (search->dead && place_of(search, &here)->pattern)
		return false;
	if (match_piece(search, pattern, p, end, s, k))
		return true;
	remember(search, &here);
	return false;
}

bool vt_glob_match(struct vt_glob_match *glob_match, const char *pattern, const char *path)
{
	struct vt_glob_match own;
	struct next stop = { .go = go_end, .group = -1, .pattern = pattern };
	glob_match = glob_match ? glob_match : &own;
	glob_match->path = path;
	glob_match->steps = 0;
	glob_match->n = vt_glob_groups(pattern);
	for (int i = 0; i < VT_GLOB_GROUPS; i++)
		glob_match->group[i].from = glob_match->group[i].to = -1;
	if (glob_match->n > VT_GLOB_GROUPS)
		return false;
	if (!path[1] && path[0] == '/')
		/* a star has no name to stand for at the root */
		return !strcmp(pattern, "/");
	struct search search = { .m = glob_match };
	bool found = match(&search, pattern, pattern, pattern + strlen(pattern), path, &stop);

	free(search.dead);
	return found;
}

char *vt_glob_clean(const char *pattern)
{
	struct vt_buf b = VT_BUF_INIT;
	vt_buf_char(&b, '/');
	for (const char *p = pattern; *p; p++)
		/* runs of slashes as one */
		if (*p != '/' || b.data[b.len - 1] != '/')
			vt_buf_char(&b, *p);
	if (b.len > 1 && b.data[b.len - 1] == '/')
		b.data[--b.len] = 0;
	return vt_buf_detach(&b);
}

int vt_glob_check(const char *pattern, struct vt_err *err)
{
	const char *end = pattern + strlen(pattern);
	int depth = 0;
	for (const char *p = pattern; p < end; p++) {
		long column = (long)(p - pattern) + 1;
		/* a closed class may hold brackets: p goes to its end */
		if (*p == '\\' && p + 1 < end)
			p++;
		else if (*p == '[' && !(p = class_end(p, end)))
			return vt_err_set(err, VT_EDATA,
				"glob \"%s\": the [ at column %ld does not close", pattern, column);
		else if ((*p == '(' || *p == '{') && !closing(p, end))
			return vt_err_set(err, VT_EDATA,
				"glob \"%s\": the %c at column %ld does not close", pattern, *p,
				column);
		else if (*p == '(')
			depth++;
		else if (*p == ')' && --depth < 0)
			return vt_err_set(err, VT_EDATA,
				"glob \"%s\": the ) at column %ld opens nowhere", pattern, column);
	}
	if (vt_glob_groups(pattern) > VT_GLOB_GROUPS)
		return vt_err_set(err, VT_EDATA, "glob \"%s\" has more than %d groups", pattern,
			VT_GLOB_GROUPS);
	return 0;
}

int vt_glob_groups(const char *pattern)
{
	return group_number(pattern, pattern + strlen(pattern));
}

bool vt_glob_has_double_star(const char *pattern)
{
	const char *p = strstr(pattern, "**");
	return p && (p == pattern || p[-1] != '\\') && p[2] != '(';
}

size_t vt_glob_literal(const char *pattern)
{
	return strcspn(pattern, "*?[{(\\@!+");
}

char *vt_glob_replace(const struct vt_glob_match *match, const char *replacement)
{
	struct vt_buf b = VT_BUF_INIT;
	vt_buf_reserve(&b, 1);
	vt_buf_str(&b, "");
	for (const char *p = replacement; *p; p++) {
		const char *digits = p[0] == '$' && p[1] == '{' ? p + 2 : p + 1;
		/* $$ is a dollar */
		if (*p == '$' && p[1] == '$') {
			vt_buf_char(&b, *++p);
			continue;
		}
		if (*p != '$' || *digits < '0' || *digits > '9') {
			vt_buf_char(&b, *p);
			continue;
		}
		int n = 0;
		for (; *digits >= '0' && *digits <= '9' && n < 1000; digits++)
			/* more digits than any group has */
			n = 10 * n + (*digits - '0');
		/* ${1}2 is group 1 and a 2; $12 is group 12 */
		p = p[1] == '{' && *digits == '}' ? digits : digits - 1;
		/* $0 is the whole path */
		if (n == 0)
			vt_buf_str(&b, match->path);
		else if (n <= match->n && match->group[n - 1].from >= 0)
			vt_buf_add(&b, match->path + match->group[n - 1].from,
				(size_t)(match->group[n - 1].to - match->group[n - 1].from));
	}
	return vt_buf_detach(&b);
}

int vt_glob_highest(const char *replacement)
{
	int most = 0;
	for (const char *p = strchr(replacement, '$'); p; p = strchr(p + 1, '$')) {
		int n = 0;
		for (const char *d = p + 1 + (p[1] == '{'); *d >= '0' && *d <= '9' && n < 1000; d++)
			n = 10 * n + (*d - '0');
		most = n > most ? n : most;
	}
	return most;
}

size_t vt_glob_level(const char *pattern, size_t n)
{
	int depth = 0;
	size_t seen = 0;

	for (size_t i = 0; pattern[i]; i++) {
		if (pattern[i] == '\\' && pattern[i + 1])
			i++;
		else if (strchr("([{", pattern[i]))
			depth++;
		else if (strchr(")]}", pattern[i]))
			depth -= depth > 0;
		/* a slash within brackets parts no level */
		else if (pattern[i] == '/' && !depth && seen++ == n)
			return i;
	}
	return 0;
}
