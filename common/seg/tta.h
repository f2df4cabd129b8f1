/* tta.h - turned copies of a volume, whose answers are turned back and averaged.
 *
 * The 16 turns leave the axial plane in place: z mirrored or not, times the 8 symmetries of the
 * square in (y, x).  Eight of them are the mirrorings of the three axes.
 *
 *      for (int i = 0; i < vt_tta_count(how); i++) {
 *              int turn = vt_tta_turn(how, i);          turn 0 leaves all as it is
 *              vt_tta_dims(turned, dims, turn);
 *              vt_tta_forth(out, in, dims, turn);       [z, y, x] -> [turned z, y, x]
 *              vt_tta_back(in, out, dims, turn);        its inverse
 *      } */
#ifndef COMMON_SEG_TTA_H
#define COMMON_SEG_TTA_H

enum vt_tta { VT_TTA_NONE, VT_TTA_FLIPS, VT_TTA_AXIAL16 };

extern const char *const vt_tta_names[]; /* by their number, NULL behind the last */

int vt_tta_count(enum vt_tta how);
int vt_tta_turn(enum vt_tta how, int i);
void vt_tta_dims(int out[3], const int dims[3], int turn);
/* dims are those of the volume as it lies, in both directions. */
void vt_tta_forth(float *turned, const float *plain, const int dims[3], int turn);
void vt_tta_back(float *plain, const float *turned, const int dims[3], int turn);

#endif
