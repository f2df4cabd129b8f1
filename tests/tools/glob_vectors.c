/* Reads lines "glob TAB replacement TAB path" and prints "1 TAB key" or "0"; run by
 * tests/oracle/glob_and_datum_ids.py.  A line "id TAB name TAB repo TAB branch TAB path ..." is
 * answered with the datum id, a line "steps TAB glob TAB path" with the steps of the search. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pipelines/runner/datum_id.h"
#include "pipelines/spec/glob.h"

int main(void)
{
	static char line[8192];
	while (fgets(line, sizeof line, stdin)) {
		char *field[64], *at = line;
		size_t n = 0;
		line[strcspn(line, "\n")] = 0;
		while (at && n < 64) {
			field[n++] = at;
			if ((at = strchr(at, '\t')))
				*at++ = 0;
		}
		if (!strcmp(field[0], "id")) {
			struct vt_datum_id id;
			char hex[65];
			vt_datum_id_begin(&id);
			for (size_t i = 1; i + 3 < n; i += 4)
				vt_datum_id_input(&id, field[i], field[i + 1], field[i + 2],
					field[i + 3]);
			vt_datum_id_end(&id, hex);
			puts(hex);
			continue;
		}
		bool steps = !strcmp(field[0], "steps");
		char *glob = vt_glob_clean(field[steps]);
		struct vt_glob_match m = { .steps = 0 };
		char *path = vt_glob_clean(field[2]);
		if (steps) {
			vt_glob_match(&m, glob, path);
			printf("%zu\n", m.steps);
		} else if (vt_glob_match(&m, glob, path)) {
			char *key = vt_glob_replace(&m, field[1]);
			printf("1\t%s\n", key);
			free(key);
		} else {
			puts("0");
		}
		free(glob);
		free(path);
	}
	return 0;
}
