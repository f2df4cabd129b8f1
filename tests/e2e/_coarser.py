"""_coarser.py DIR: every second voxel of the images of a cohort, in place: an eighth of the work."""
import os, sys
import nibabel as nib
import numpy as np

for root, _, files in os.walk(sys.argv[1]):
    for f in files:
        if f.endswith((".nii", ".nii.gz")):
            path = os.path.join(root, f)
            image = nib.load(path)
            nib.save(nib.Nifti1Image(np.asarray(image.dataobj)[::2, ::2, ::2].copy(), image.affine @ np.diag([2, 2, 2, 1])), path)
