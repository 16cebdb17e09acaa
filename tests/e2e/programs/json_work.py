#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Turns objects to JSON and back until the file $STOP is there."""

import json
import os

document = {"users": [{"id": n, "name": "n" * (n % 700), "tags": list(range(n % 90))} for n in range(400)]}
rounds = wrong = 0
print("ready", flush=True)
while not os.path.exists(os.environ["STOP"]):
    document["users"][rounds % 400]["round"] = rounds
    text = json.dumps(document)
    wrong += json.loads(text) != document
    rounds += 1
print(f"{rounds} rounds, {wrong} wrong")
