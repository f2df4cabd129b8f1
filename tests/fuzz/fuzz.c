/* fuzz.c - what every target needs, and libFuzzer's entry points. */
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/fs.h"
#include "common/base/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static const struct fuzz_target *target;
static char folder[64];

const struct fuzz_target *fuzz_find(const char *name)
{
	const struct fuzz_target *const all[] = { fuzz_text_targets, fuzz_image_targets,
		fuzz_store_targets, fuzz_spec_targets, fuzz_stage_targets, fuzz_train_targets,
		fuzz_trust_targets };

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		for (const struct fuzz_target *t = all[i]; t->name; t++)
			if (!strcmp(t->name, name))
				return t;
	return NULL;
}

char *fuzz_text(const uint8_t *bytes, size_t n)
{
	return vt_xstrndup(n ? (const char *)bytes : "", n);
}

struct vt_json *fuzz_json(const uint8_t *bytes, size_t n)
{
	struct vt_err err = VT_ERR_INIT;
	struct vt_json *j = NULL;

	if (vt_json_parse(&j, (const char *)bytes, n, "input", &err)) {
		fuzz_refused(&err);
		return NULL;
	}
	return j;
}

static void remove_folder(void)
{
	struct vt_err err = VT_ERR_INIT;

	vt_fs_remove_tree(folder, &err);
}

const char *fuzz_dir(void)
{
	if (!*folder) {
		snprintf(folder, sizeof(folder), "/tmp/voxtrail-fuzz-XXXXXX");
		if (!mkdtemp(folder))
			abort();
		atexit(remove_folder);
	}
	return folder;
}

char *fuzz_file(const char *relative, const uint8_t *bytes, size_t n)
{
	char *path = vt_path_join(fuzz_dir(), relative),
	     *dir = vt_xstrndup(path, (size_t)(strrchr(path, '/') - path));
	struct vt_err err = VT_ERR_INIT;
	FILE *f;

	if (vt_fs_mkdirs(dir, &err))
		abort();
	f = fopen(path, "wb");
	if (!f || fwrite(bytes, 1, n, f) != n || fclose(f))
		abort();
	free(dir);
	return path;
}

void fuzz_refused(const struct vt_err *err)
{
	if (!err->code || !err->text[0])
		abort();
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	const char *slash = strrchr((*argv)[0], '/');

	(void)argc;
	vt_log_open("fuzz", VT_LOG_JSON, VT_LOG_ERROR + 1);
	target = fuzz_find(slash ? slash + 1 : (*argv)[0]);
	if (target)
		return 0;
	fprintf(stderr, "%s: no target of this name\n", (*argv)[0]);
	exit(2);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	uint8_t *exact = malloc(n ? n : 1);

	if (!exact)
		abort();
	if (n)
		memcpy(exact, bytes, n);
	target->take(exact, n);
	free(exact);
	return 0;
}
