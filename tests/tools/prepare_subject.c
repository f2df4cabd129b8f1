/* prepare_subject.c - vt_prepare_subject from the command line, for oracles and benchmarks that
 * need no stage.
 *      prepare_subject OUTDIR [NORMALIZE] [LOW,HIGH] [n4] [rigid] ROLE=PATH... */
#include <stdio.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/image/prepare.h"

int main(int argc, char **argv)
{
	struct vt_prepare_channel channels[8];
	struct vt_prepare_opts opts = VT_PREPARE_OPTS_DEFAULT;
	struct vt_prepare_report report;
	struct vt_err err = VT_ERR_INIT;
	size_t n = 0;
	for (int i = 2; i < argc && n < 8; i++) {
		char *equals = strchr(argv[i], '=');
		if (equals) {
			*equals = 0;
			channels[n++] = (struct vt_prepare_channel){ argv[i], equals + 1, -1 };
		}
		sscanf(argv[i], "%lf,%lf", &opts.window[0], &opts.window[1]);
		opts.bias = strcmp(argv[i], "n4") ? opts.bias : VT_BIAS_N4;
		opts.align = strcmp(argv[i], "rigid") ? opts.align : VT_ALIGN_RIGID;
		for (int how = VT_NORM_NONE; how <= VT_NORM_LAST; how++)
			if (!strcmp(argv[i], vt_normalize_name((enum vt_normalize)how)))
				opts.normalize = (enum vt_normalize)how;
	}
	if (argc < 3 || vt_fs_mkdirs(argv[1], &err) ||
		vt_prepare_subject(argv[1], "subject", channels, n, &opts, &report, &err)) {
		fprintf(stderr, "%s\n", err.text);
		return err.code ? err.code : VT_EUSAGE;
	}
	printf("%s %.1f ml flags %u, %zu x %zu x %zu\n", report.method, report.brain.volume_ml,
		report.brain.flags, report.dim[0], report.dim[1], report.dim[2]);
	return 0;
}
