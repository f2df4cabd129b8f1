/* What weights are before training. */
#include <math.h>

#include "common/base/rng.h"
#include "common/nn/graph_internal.h"

void vt_weight_init(float *value, const struct vt_weight_spec *spec, uint64_t seed)
{
	struct vt_rng r = vt_rng_stream(seed, "init", vt_rng_hash(spec->name), 0, 0);
	double fan = (double)(spec->fan_in ? spec->fan_in : 1), bound = 1.0 / sqrt(fan), sd = 0;

	if (spec->init == VT_INIT_KAIMING_NORMAL_OUT && spec->fan_out)
		sd = sqrt(2.0 / spec->fan_out);
	else if (spec->init == VT_INIT_KAIMING_NORMAL_IN && spec->fan_in)
		sd = sqrt(2.0 / spec->fan_in);
	else if (spec->init == VT_INIT_XAVIER_NORMAL)
		sd = sqrt(4.0 / (spec->fan_in + spec->fan_out + !spec->fan_in));
	else if (spec->init == VT_INIT_KAIMING_NORMAL_LEAKY)
		sd = sqrt(2.0 / (1.0001 * fan));
	else if (spec->init == VT_INIT_KAIMING_UNIFORM_RELU && spec->role == 'k')
		bound = sqrt(6.0 / fan);
	for (size_t i = 0; i < spec->n; i++) {
		if (spec->role == 'k')
			value[i] = (float)(sd > 0 ? sd * vt_rng_normal(&r)
						  : vt_rng_between(&r, -bound, bound));
		else if (spec->role == 'b')
			value[i] = spec->init == VT_INIT_KAIMING_UNIFORM || spec->default_bias
				? (float)vt_rng_between(&r, -bound, bound)
				: 0.0f;
		else if (spec->role == '1')
			value[i] = 1.0f;
		else
			value[i] = spec->role == 'p' ? 0.25f : 0.0f;
	}
}
