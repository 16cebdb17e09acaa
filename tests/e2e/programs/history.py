#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A history for git fast-import, the same each time: texts that change a little from commit to commit."""

import random
import sys

COMMITS, FILES, LINES = 300, 60, 150

chance = random.Random(1)
texts = [[f"{chance.getrandbits(200):x}" for _ in range(LINES)] for _ in range(FILES)]
out = sys.stdout
for commit in range(COMMITS):
    out.write("commit refs/heads/main\n")
    out.write(f"committer Nobody <nobody@example.org> {1700000000 + commit} +0000\n")
    message = f"change {commit}\n"
    out.write(f"data {len(message)}\n{message}")
    for number in chance.sample(range(FILES), 8) if commit else range(FILES):
        for _ in range(5):
            texts[number][chance.randrange(LINES)] = f"{chance.getrandbits(200):x}"
        text = "\n".join(texts[number]) + "\n"
        out.write(f"M 100644 inline file{number}\ndata {len(text)}\n{text}\n")
