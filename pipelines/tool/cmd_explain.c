/* voxtrail explain PIPELINE PATH: which datum made a path of the newest output commit. */
#include <stdio.h>
#include <string.h>
#include <stdlib.h>

#include "pipelines/tool/commands.h"
#include "pipelines/tool/command.h"
#include "pipelines/runner/depot.h"

static int explain(const char *store, const char *pipeline, const char *path, struct vt_err *err)
{
	struct vt_depot *d = NULL;
	struct vt_head head = { 0 };
	struct vt_result r = { 0 };
	static const struct vt_hash none;
	char *absolute = vt_asprintf("%s%s", path[0] == '/' ? "" : "/", path), hex[65], key[65],
	     commit[65];
	if (!vt_depot_open(&d, store, VT_DEPOT_READ, err) &&
		!vt_depot_head(d, pipeline, &head, err)) {
		const struct vt_entry *e = vt_listing_find(&head.files, absolute);
		if (!e || e->dir)
			vt_err_set(err, VT_ENOINPUT, "%s has no file %s in its newest commit",
				pipeline, absolute);
		else if (!memcmp(&e->origin, &none, sizeof none))
			vt_err_set(err, VT_ENOINPUT,
				"%s of %s was committed by hand, no datum made it", absolute,
				pipeline);
		else if (!vt_depot_result(d, &e->origin, &r, err)) {
			vt_hash_hex(hex, &e->hash);
			vt_hash_hex(key, &e->origin);
			vt_hash_hex(commit, &head.commit);
			printf("file      %s\ncontent   %s, %llu bytes\ncommit    %.32s of "
			       "%s\ndatum     %s\nkey       "
			       "%s\n"
			       "ended     exit %d after %d tr%s, %lld ms\nrecords   %zu\n",
				absolute, hex, (unsigned long long)e->size, commit, pipeline,
				r.datum, key, r.exit_code, r.tries, r.tries == 1 ? "y" : "ies",
				r.wall_ms, r.lineage.n);
			for (size_t i = 0; i < r.lineage.n; i++)
				printf("          %s\n", r.lineage.v[i].path);
		}
	}
	vt_result_release(&r);
	vt_head_release(&head);
	vt_depot_close(d);
	free(absolute);
	return err->code;
}

int vt_cmd_explain(int argc, char **argv)
{
	struct vt_call c = {
		.usage = "explain PIPELINE PATH",
		.about = "Says which datum made a path of the newest output commit.",
		.least = 2,
		.most = 2,
	};

	if (vt_call_begin(&c, argc, argv))
		explain(c.store, c.args.v[0], c.args.v[1], &c.err);
	return vt_call_end(&c);
}
