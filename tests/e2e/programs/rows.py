#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes rows of CSV into the pipe that is its argument until the file $STOP is there, then how many and their sum."""

import os
import sys

BATCH = 200

rows = total = 0
with open(sys.argv[1], "w", encoding="ascii") as out:
    while not os.path.exists(os.environ["STOP"]):
        for _ in range(BATCH):
            out.write(f'{rows},"row number {rows * 7919 % 1000003}, quoted",{rows / 8}\n')
            total += rows
            rows += 1
print(rows, total)
