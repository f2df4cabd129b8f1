#include "common/nn/cpu/kernels.h"

#include <stdlib.h>
#include <string.h>

/* What every processor of the architecture has. */
static bool runs_anywhere(void)
{
	return true;
}

#if defined(__x86_64__)
static bool runs_avx2(void)
{
	__builtin_cpu_init();
	return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

static bool runs_avx512(void)
{
	__builtin_cpu_init();
	return runs_avx2() && __builtin_cpu_supports("avx512f") &&
		__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
		__builtin_cpu_supports("avx512dq");
}
#endif

/* Best first. */
static const struct {
	const struct vt_kernels *table;
	bool (*runs)(void);
} tables[] = {
#if defined(__x86_64__)
	{ &vt_kernels_avx512, runs_avx512 },
	{ &vt_kernels_avx2, runs_avx2 },
#define NAMES "avx512, avx2"
#elif defined(__aarch64__)
	{ &vt_kernels_neon, runs_anywhere },
#define NAMES "neon"
#else
#define NAMES "none other"
#endif
	{ &vt_kernels_portable, runs_anywhere },
};

enum { N_TABLES = sizeof(tables) / sizeof(tables[0]) };

const struct vt_kernels *vt_kernels_named(const char *name)
{
	for (int i = 0; i < N_TABLES; i++)
		if (!strcmp(name, tables[i].table->name))
			return tables[i].runs() ? tables[i].table : NULL;
	return NULL;
}

int vt_kernels_choose(const struct vt_kernels **out, struct vt_err *err)
{
	/* Empty counts as not set. */
	const char *wish = getenv("VOXTRAIL_ISA");
	bool known = false;

	for (int i = 0; i < N_TABLES; i++) {
		bool named = !wish || !*wish || !strcmp(wish, tables[i].table->name);

		known |= named;
		if (named && tables[i].runs()) {
			*out = tables[i].table;
			return 0;
		}
	}
	if (known)
		return vt_err_set(err, VT_ECONFIG,
			"VOXTRAIL_ISA=%s: this processor does not have these instructions; "
			"unset it or choose another of " NAMES ", portable",
			wish);
	return vt_err_set(err, VT_ECONFIG,
		"VOXTRAIL_ISA=%s: no such kernels; they are " NAMES " and portable", wish);
}
