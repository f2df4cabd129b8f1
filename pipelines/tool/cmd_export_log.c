/* voxtrail export-log: the history as JSON lines for whoever collects logs. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/store/history.h"
#include "pipelines/tool/command.h"
#include "pipelines/tool/commands.h"

static int print(void *ctx, const struct vt_json *line, const char *digest)
{
	const long long *since = ctx;
	time_t t = (time_t)vt_json_integer(vt_json_get(line, "time"), 0);
	struct vt_json *j;
	struct vt_buf out = VT_BUF_INIT;
	char when[32];
	struct tm tm;

	if (vt_json_integer(vt_json_get(line, "n"), 0) <= *since)
		return 0;
	j = vt_json_copy(line);
	gmtime_r(&t, &tm);
	strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &tm);
	vt_json_put_text(j, "time", when);
	vt_json_put_text(j, "digest", digest);
	vt_json_put_text(j, "source", "voxtrail");
	vt_json_compact(&out, j);
	vt_buf_char(&out, '\n');
	vt_json_say(out.data);
	vt_buf_release(&out);
	vt_json_free(j);
	return 0;
}

int vt_cmd_export_log(int argc, char **argv)
{
	long long since = 0;
	const struct vt_opt opts[] = {
		{ 0, "since", VT_OPT_INT, &since, "N", "only events after number N" },
		VT_OPTS_END,
	};
	struct vt_call c = {
		.usage = "export-log",
		.about = "Prints the history as JSON for a log collector (SIEM): one "
			 "event per line, with the digest of the history's line. Pass "
			 "the last n printed to --since next time. If the history was "
			 "changed, the output ends there and the status is 76.",
		.opts = opts,
		.mode = VT_STORE_READ,
	};

	if (vt_call_begin(&c, argc, argv))
		vt_history_read(c.s, print, &since, &c.err);
	return vt_call_end(&c);
}
