"""Images as files: NIfTI, MHA, DICOM, arrays, PNG, and moving pictures."""
