#include "common/stage/build.h"

#include <string.h>

#include "build_id.h"

const char *vt_build_commit(void)
{
	return VT_BUILD_COMMIT;
}

bool vt_build_dirty(void)
{
	return VT_BUILD_DIRTY != 0;
}

bool vt_build_has_stage(const char *name)
{
	size_t n = strlen(name);

	for (const char *p = VT_BUILD_STAGES; n && *p; p += strcspn(p, " ") + 1)
		if (strcspn(p, " ") == n && !strncmp(p, name, n))
			return true;
	return false;
}
