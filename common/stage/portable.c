/* portable.c - what a stage says about its inputs, in words that mean the same on every machine. */
#include <stdlib.h>
#include <string.h>

#include "common/stage/stage_internal.h"

/* Puts `name` in the place of every `dir` that stands as a path of its own or at its beginning. */
static char *without(char *text, const char *dir, const char *name)
{
	size_t n = dir ? strlen(dir) : 0;
	struct vt_buf out = VT_BUF_INIT;
	const char *p = text, *at;

	if (n < 2 || *dir != '/')
		return text;
	vt_buf_reserve(&out, 0);
	while ((at = strstr(p, dir)) != NULL) {
		bool begins = at == text || !strchr("/abcdefghijklmnopqrstuvwxyz", at[-1]);
		bool ends = !at[n] || strchr("/ ;:,\")'", at[n]);

		vt_buf_add(&out, p, (size_t)(at - p));
		if (begins && ends)
			vt_buf_str(&out, name);
		else
			vt_buf_add(&out, at, n);
		p = at + n;
	}
	vt_buf_str(&out, p);
	free(text);
	return vt_buf_detach(&out);
}

char *vt_stage_portable(const struct vt_stage_run *run, const char *text)
{
	char *out = vt_xstrdup(text);

	for (int i = 0; i < vt_stage_n_ports(run->stage); i++)
		out = without(out, run->root[i], run->stage->in[i].name);
	out = without(out, run->work, "out");
	out = without(out, run->out, "out");
	return without(out, run->scratch, "scratch");
}
