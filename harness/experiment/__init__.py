"""The experiment of the 2019 abstract (Dietz et al., ISMRM 4784), as one plan on top of `harness.comparison`.

A `plan` crosses patients, accelerations and candidates to `cells`, which are a candidate on a scan each, and
`table` makes them. `variants` changes a phantom to what no training has seen; a `horizon` is how far ahead of
the last line an image is to show the anatomy; `claims` are what the shipped networks are to reach.
"""
