/* onnx.h - a network with its weights as an ONNX file: IR 8, opset 17, inference form, sizes n,
 * z, y, x left open.
 *
 * Input "image" [n, c, z, y, x] f32, output "logits".  Group norm is written as Reshape,
 * InstanceNormalization, Reshape, Mul, Add (it is an operator of its own only from opset 18 on).
 * Members of the object props (may be NULL) go into metadata_props, texts as they are, other
 * values as JSON.  Equal networks give equal bytes.  Of several outputs only the prediction is
 * written, and only what it needs.
 *
 * Convolutions of a session in int8 read their input through QuantizeLinear and DequantizeLinear
 * (uint8) and their kernel through DequantizeLinear (int8, a scale for each output). */
#ifndef COMMON_NN_ONNX_H
#define COMMON_NN_ONNX_H

#include "common/base/json.h"
#include "common/nn/session.h"

int vt_onnx_write(const char *path, const struct vt_graph *graph, struct vt_session *session,
	const struct vt_json *props, struct vt_err *err);

#endif
