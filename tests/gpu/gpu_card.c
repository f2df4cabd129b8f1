/* gpu_card: the property file of the GPU of this machine, as tests/gpu/cards holds them; needs
 * a GPU. */
#include <stdio.h>

#include "gpu/cuda/convolution.h"

int main(void)
{
	struct vg_cudnn *c = NULL;
	struct vt_buf text = VT_BUF_INIT;
	struct vt_err err = VT_ERR_INIT;
	int rc = vg_cudnn_open(&c, NULL, NULL, &err);

	if (!rc)
		rc = vg_cudnn_properties(c, &text, &err);
	if (rc)
		fprintf(stderr, "%s\n", err.text);
	else
		printf("%s\n", text.data);
	vt_buf_release(&text);
	vg_cudnn_close(c);
	return rc;
}
