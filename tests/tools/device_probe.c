/* device_probe cpu|cuda|auto [CARDS]: opens a device as a stage does; prints its description, or
 * the message and exits with its code. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/nn/backend.h"

int main(int argc, char **argv)
{
	struct vt_err err = VT_ERR_INIT;
	struct vt_buf text = VT_BUF_INIT;
	struct vt_device *d = NULL;
	struct vt_json *j;
	int64_t wish = 0;

	while (argc > 1 && vt_device_wishes[wish] && strcmp(vt_device_wishes[wish], argv[1]))
		wish++;
	if ((argc != 2 && argc != 3) || !vt_device_wishes[wish])
		return 64;
	vt_log_open("device_probe", VT_LOG_TEXT, VT_LOG_INFO);
	vt_device_settle(&wish);
	if (vt_device_open(&d,
		    &(struct vt_device_opts){ .wish = (enum vt_device_wish)wish,
			    .cards = argc == 3 ? atoi(argv[2]) : 1 },
		    &err)) {
		fprintf(stderr, "%s\n", err.text);
		return err.code;
	}
	j = vt_device_describe(d);
	vt_json_compact(&text, j);
	printf("%s\n", text.data);
	vt_buf_release(&text);
	vt_json_free(j);
	vt_device_close(d);
	return 0;
}
