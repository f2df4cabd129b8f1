/* augment CONTAINER EDGE DRAWS: processor milliseconds that a cubic patch takes to draw, plainly
 * and with each transformation of --augment at probability 1. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/seg/augment.h"

static const char *const lists[] = { "", "{\"name\":\"rotate\",\"range\":[-30,30]}",
	"{\"name\":\"zoom\",\"range\":[0.7,1.4]}", "{\"name\":\"translate\",\"range\":[-10,10]}",
	"{\"name\":\"elastic\",\"range\":[1,3]}", "{\"name\":\"flip\"}", "{\"name\":\"rotate90\"}",
	"{\"name\":\"swap\"}", "{\"name\":\"scale\",\"range\":[0.9,1.1]}",
	"{\"name\":\"shift\",\"range\":[-0.1,0.1]}",
	"{\"name\":\"noise\",\"range\":[0.1,0.1],\"relative\":true}",
	"{\"name\":\"gamma\",\"range\":[0.5,2.5],\"keep\":true}",
	"{\"name\":\"contrast\",\"range\":[0.75,1.25]}", "{\"name\":\"blur\",\"range\":[0.5,1]}",
	"{\"name\":\"lowres\",\"range\":[0.5,1]}", "{\"name\":\"drop\"}" };

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* A cubic patch of the container, drawn `draws` times. */
static double cost(const struct vt_patch_file *file, const char *entry, int edge, int draws)
{
	struct vt_draw_opts o = { .patch = { edge, edge, edge }, .foreground = 0.5, .seed = 1 };
	size_t voxels = (size_t)edge * (size_t)edge * (size_t)edge;
	float *image = malloc(voxels * (size_t)file->c * sizeof(*image));
	uint8_t *target = malloc(voxels);
	struct vt_augment *a = NULL;
	struct vt_json *list = NULL;
	struct vt_err err = VT_ERR_INIT;
	char text[200];
	double start;

	snprintf(text, sizeof(text), "[%s]", entry);
	if (!image || !target || vt_json_parse(&list, text, strlen(text), "list", &err) ||
		vt_augment_parse(&a, list, o.patch, &err)) {
		fprintf(stderr, "%s\n", err.text);
		exit(1);
	}
	start = seconds();
	for (int i = 0; i < draws; i++) {
		if (*entry)
			vt_augment_draw(a, file, &o, (uint64_t)i, 0, image, target, NULL);
		else
			vt_dataset_draw(file, &o, (uint64_t)i, 0, image, target);
	}
	start = seconds() - start;
	free(image);
	free(target);
	vt_json_free(list);
	vt_augment_free(a);
	return start / draws * 1e3;
}

int main(int argc, char **argv)
{
	struct vt_err err = VT_ERR_INIT;
	struct vt_patch_file f;
	int edge = argc > 2 ? atoi(argv[2]) : 64, draws = argc > 3 ? atoi(argv[3]) : 20;

	if (argc < 2 || edge < 8 || draws < 1 || vt_patch_open(&f, argv[1], &err)) {
		fprintf(stderr, "usage: augment CONTAINER EDGE DRAWS\n%s\n", err.text);
		return 64;
	}
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		printf("%-60s %8.2f ms\n", *lists[i] ? lists[i] : "plain",
			cost(&f, lists[i], edge, draws));
	vt_patch_close(&f);
	return 0;
}
