"""The 2019 experiment: patients against every candidate, in one table with its figures."""
