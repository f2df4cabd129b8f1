#include "common/base/random.h"

#include <stdio.h>
#include <sys/random.h>

int vt_random_bytes(void *out, size_t n, struct vt_err *err)
{
	return getrandom(out, n, 0) == (ssize_t)n ? 0
						  : vt_err_errno(err, VT_EIO, "no random bytes");
}

int vt_random_nonce(char hex[VT_NONCE], struct vt_err *err)
{
	unsigned char b[VT_NONCE / 2];
	int rc = vt_random_bytes(b, sizeof(b), err);

	*hex = '\0';
	for (size_t i = 0; !rc && i < sizeof(b); i++)
		snprintf(hex + 2 * i, 3, "%02x", b[i]);
	return rc;
}
