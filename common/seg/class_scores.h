/* class_scores.h - how good answers of one class a subject are.
 *
 *   accuracy  k / n, with Wilson's interval (1927):
 *             (k + z^2 / 2 +- z sqrt(k (n - k) / n + z^2 / 4)) / (n + z^2)
 *   AUC       share of pairs of a positive and a negative in which the positive has the higher
 *             score, ties one half; its interval is AUC +- z sqrt(S10 / m + S01 / n) within 0 and
 *             1, with the variances of DeLong et al. 1988
 *
 * z = 1.959963984540054: 95 %. */
#ifndef COMMON_SEG_CLASS_SCORES_H
#define COMMON_SEG_CLASS_SCORES_H

#include <stdbool.h>
#include <stddef.h>

#include "common/seg/bootstrap.h"

struct vt_interval vt_wilson(size_t k, size_t n);

/* NaN without both kinds; the interval is NaN without two of each. */
double vt_auc(struct vt_interval *ci, const double *score, const bool *positive, size_t n);

#endif
