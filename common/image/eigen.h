/* eigen.h - eigenvalues of a small symmetric matrix. */
#ifndef COMMON_IMAGE_EIGEN_H
#define COMMON_IMAGE_EIGEN_H

#include <stddef.h>

/* matrix: n x n, symmetric, overwritten.  values: n, ascending.  Householder's reduction to three
 * diagonals, then QL steps with implicit shifts (Golub & Van Loan, Matrix Computations, 8.3);
 * absolute error about 1e-15 times the largest.  n > 0, every element finite. */
void vt_symmetric_eigenvalues(double *values, double *matrix, size_t n);

#endif
