/* int8.h - which convolutions the precision int8 computes on whole numbers, and their scales.
 *
 *      struct vt_int8_finder *f = vt_int8_finder_new(graph);
 *      vt_session_observe(s, vt_int8_look, f);             a session in f32; run it on subjects
 *      scales = vt_int8_finder_scales(f, s, VT_INT8_LEAST_ERROR, err);
 *      opts.int8 = scales;                                 a session in int8 (session.h)
 *
 * Scales as JSON: { kernel's name: { "scale", "zero", "weights": [one of each output] } } for
 * every convolution that vt_int8_takes.  An input x is the whole number nearest to x r + zero,
 * 0 to 255, where r is 1 / scale in f32; a weight of output o is the one nearest to
 * w / weights[o], -127 to 127 (cpu/int8.h has the arithmetic).  weights[o] is the largest |w| of
 * the output / 127.
 *
 * The range of an input holds 0 and is
 *      max      all that was seen: its smallest to its largest value
 *      error    that range, or .95, .9, ... .2 of it, whichever gives the least sum of squared
 *               differences between the values seen and their whole numbers; values are counted
 *               by sign, exponent and six bits of mantissa */
#ifndef COMMON_NN_INT8_H
#define COMMON_NN_INT8_H

#include "common/base/json.h"
#include "common/nn/session.h"

/* the smallest of scales */
#define VT_INT8_LEAST_SCALE 1e-18

enum vt_int8_range { VT_INT8_LEAST_ERROR, VT_INT8_MAX };
extern const char *const vt_int8_ranges[]; /* "error", "max", NULL */

/* Of node i.  Not taken: what reads the network's input, what no other convolution reads from
 * (heads), transposed ones, fewer than eight channels on a side, sums that could leave int32. */
bool vt_int8_takes(const struct vt_graph *graph, int i);
bool vt_int8_takes_any(const struct vt_graph *graph);

/* Of one weight of the graph; weights == NULL: it is not taken. */
struct vt_int8_scales {
	float scale;
	int zero;
	float *weights; /* [n] */
	int n;
};

/* [weights of graph], to be freed by vt_int8_free.  VT_EDATA names what is missing, too much or out
 * of bounds. */
int vt_int8_read(struct vt_int8_scales **out, const struct vt_graph *graph, const struct vt_json *j,
	struct vt_err *err);
void vt_int8_free(struct vt_int8_scales *scales,
	const struct vt_graph *graph); /* NULL is nothing */

/* Those of a session's weight; NULL: none, it is not computed in int8. */
const struct vt_int8_scales *vt_session_int8(const struct vt_session *session, int weight);

/* The scale that n weights of one output have. */
float vt_int8_weight_scale(const float *w, size_t n);

struct vt_int8_finder;
struct vt_int8_finder *vt_int8_finder_new(const struct vt_graph *graph);
void vt_int8_finder_free(struct vt_int8_finder *finder);
/* A convolution's input, in blocks of eight channels. */
void vt_int8_look(void *finder, int node, const float *x, struct vt_shape shape);
/* NULL with VT_EDATA where a value was not finite, or nothing was seen.  The caller owns it. */
struct vt_json *vt_int8_finder_scales(const struct vt_int8_finder *finder,
	struct vt_session *session, enum vt_int8_range range, struct vt_err *err);

#endif
