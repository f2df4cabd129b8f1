/* augment_probe CONTAINER LIST.json PATCH STEP SLOT SEED OUT: one patch as train draws it with
 * --augment, for tests/oracle/nn/augment.py.
 *
 * OUT: f32 image [c, z, y, x], then u8 region bits [z, y, x].  What was drawn goes to stdout, as
 * JSON. */
#include <stdio.h>
#include <stdlib.h>

#include "common/seg/augment.h"

int main(int argc, char **argv)
{
	struct vt_err err = VT_ERR_INIT;
	struct vt_augment *a = NULL;
	struct vt_patch_file f;
	struct vt_json *list = NULL, *trace = vt_json_new(VT_JSON_ARRAY);
	struct vt_draw_opts o = { .foreground = 0.5 };
	struct vt_buf text = VT_BUF_INIT;
	size_t voxels = 1;
	float *image;
	uint8_t *target;
	FILE *out;

	if (argc != 8 || sscanf(argv[3], "%d,%d,%d", &o.patch[0], &o.patch[1], &o.patch[2]) != 3 ||
		vt_patch_open(&f, argv[1], &err) || vt_json_read(&list, argv[2], &err) ||
		vt_augment_parse(&a, list, o.patch, &err)) {
		fprintf(stderr, "%s\n", err.text);
		return err.code ? err.code : 64;
	}
	o.seed = strtoull(argv[6], NULL, 10);
	for (int k = 0; k < 3; k++)
		voxels *= (size_t)o.patch[k];
	image = malloc(voxels * (size_t)f.c * sizeof(*image));
	target = malloc(voxels);
	vt_augment_draw(a, &f, &o, strtoull(argv[4], NULL, 10), strtoull(argv[5], NULL, 10), image,
		target, trace);
	out = fopen(argv[7], "wb");
	if (!out ||
		fwrite(image, sizeof(*image), voxels * (size_t)f.c, out) != voxels * (size_t)f.c ||
		fwrite(target, 1, voxels, out) != voxels || fclose(out))
		return 74;
	vt_json_compact(&text, trace);
	puts(text.data);
	vt_buf_release(&text);
	vt_json_free(trace);
	vt_json_free(list);
	vt_augment_free(a);
	vt_patch_close(&f);
	free(image);
	free(target);
	return 0;
}
