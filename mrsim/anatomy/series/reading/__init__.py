"""Cines as clinics keep them: MHA as in TrackRAD, DICOM, NIfTI, and numpy's arrays."""
