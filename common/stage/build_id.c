#include "common/stage/build.h"

#include "build_id.h"

const char *vt_build_commit(void)
{
	return VT_BUILD_COMMIT;
}

bool vt_build_dirty(void)
{
	return VT_BUILD_DIRTY != 0;
}
