"""Training data: scans as examples, their targets, shifts and warps, and folders of datasets."""
