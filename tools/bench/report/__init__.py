# SPDX-License-Identifier: GPL-2.0
"""The benchmark's report. `subjects.py` lists what it is about."""
