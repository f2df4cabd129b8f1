/* Prints the documents of a YAML file as one JSON array; run by tests/oracle/yaml_subset.py. */
#include <stdio.h>

#include "common/base/fs.h"
#include "pipelines/spec/yaml_read.h"

int main(int argc, char **argv)
{
	struct vt_err err = VT_ERR_INIT;
	struct vt_buf text = VT_BUF_INIT, out = VT_BUF_INIT;
	struct vt_json *j = NULL;
	if (argc == 2 && !vt_fs_read(&text, argv[1], 1u << 26, &err) &&
		!vt_yaml_parse(&j, text.data ? text.data : "", text.len, argv[1], &err)) {
		vt_json_compact(&out, j);
		puts(out.data);
	}
	if (err.code)
		fprintf(stderr, "%s\n", err.text);
	vt_json_free(j);
	vt_buf_release(&text);
	vt_buf_release(&out);
	return err.code;
}
