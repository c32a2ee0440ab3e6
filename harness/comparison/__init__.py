"""Candidates on streams, side by side.

`compare` orders candidates; `guard` fails where new code is slower than old. `single_pass` plays one
candidate to one scan, `series` holds what was measured of every image, `order` says who is ahead in one
measure.
"""
