#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Compares the last leak report of a run to the truth that a workload wrote.

    compare.py TRUTH.json REPORT.jsonl [--sites | --totals | --identity-only] [--in-flight N]

By default everything must be equal to the byte and the block: totals, every site of the truth, no
block outside a site, nothing lost. --sites leaves out the totals, --totals the sites;
--identity-only compares nothing to the truth. The report's own identity is always checked;
--in-flight is how many calls may not have returned (threads killed or jumped out of one), default
0. Prints every difference and exits 1 when there is one.
"""

import argparse
import json
import sys

TOTALS = ("alloc_count", "alloc_bytes", "free_count", "free_bytes", "live_count", "live_bytes",
          "failed_count", "untracked_frees")
PER_SITE = ("alloc_count", "alloc_bytes", "free_count", "free_bytes", "live_count", "live_bytes")


class Differences:
    def __init__(self):
        self.count = 0

    def tell(self, text):
        self.count += 1
        print(text)

    def expect(self, what, wanted, found):
        if wanted != found:
            self.tell(f"{what}: expected {wanted}, reported {found}"
                      + (f" ({found - wanted:+d})" if isinstance(found, int) else ""))


def last_report(path):
    report = None
    with open(path, encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            try:
                value = json.loads(line)
            except ValueError as error:
                sys.exit(f"{path}:{number}: not JSON: {error}")
            if value.get("kind") == "leaks":
                report = value
    if report is None:
        sys.exit(f"{path}: no leak report")
    return report


def bare(function):
    """The name without symbol version, offset, arguments and what compilers append to clones."""
    for end in "@+(.":
        function = function.split(end)[0]
    return function


def site_of(stack):
    for frame in stack["frames"]:
        function = bare(frame["function"] or "")
        if function.startswith("site_"):
            return function
    return None


def describe(stack):
    names = [frame["function"] or "?" for frame in stack["frames"]]
    return " < ".join(names) if names else "no frames"


def check_identity(report, in_flight, differences):
    totals, health = report["totals"], report["health"]
    if totals["in_flight"] > in_flight:
        differences.tell(f"in_flight: {totals['in_flight']}, at most {in_flight} expected")
    for unit in ("count", "bytes"):
        known = totals[f"live_{unit}"] + totals[f"free_{unit}"] + totals[f"lost_{unit}"]
        missing = totals[f"alloc_{unit}"] - known
        # Each call in flight may hold one block of a size that nobody knows.
        held = totals["in_flight"] and (unit == "bytes" or 0 <= missing <= totals["in_flight"])
        if missing and not held:
            differences.tell(f"identity: alloc_{unit} {totals[f'alloc_{unit}']} is not live "
                             f"{totals[f'live_{unit}']} + free {totals[f'free_{unit}']} + lost "
                             f"{totals[f'lost_{unit}']} = {known}")
        live = sum(stack[f"live_{unit}"] for stack in report["stacks"])
        differences.expect(f"sum of live_{unit} over stacks", totals[f"live_{unit}"], live)
    differences.expect("sum of health.lost", totals["lost_count"], sum(health["lost"].values()))
    peak = totals["peak_live_bytes"]
    if peak is not None and peak < totals["live_bytes"]:
        differences.tell(f"peak_live_bytes {peak} is below live_bytes {totals['live_bytes']}")


def check_totals(truth, report, differences):
    for key in TOTALS:
        differences.expect(f"totals.{key}", truth["totals"][key], report["totals"][key])
    differences.expect("totals.lost_count", 0, report["totals"]["lost_count"])


def check_sites(truth, report, complete, differences):
    # A stack's frees are not part of the schema; they are compared where they are given.
    keys = [key for key in PER_SITE if all(key in stack for stack in report["stacks"])]
    found = {site: dict.fromkeys(keys, 0) for site in truth["sites"]}
    for stack in report["stacks"]:
        site = site_of(stack)
        if site in found:
            for key in keys:
                found[site][key] += stack[key]
        elif complete and (stack["alloc_count"] or stack["live_count"]):
            differences.tell(f"{stack['alloc_count']} blocks ({stack['alloc_bytes']} bytes, "
                             f"{stack['live_count']} live) at no site: {describe(stack)}")
    for site, counts in truth["sites"].items():
        for key in keys:
            differences.expect(f"{site}.{key}", counts[key], found[site][key])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("truth")
    parser.add_argument("report")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--sites", action="store_true")
    what.add_argument("--totals", action="store_true")
    what.add_argument("--identity-only", action="store_true")
    parser.add_argument("--in-flight", type=int, default=0)
    arguments = parser.parse_args()

    differences = Differences()
    report = last_report(arguments.report)
    check_identity(report, arguments.in_flight, differences)
    if not arguments.identity_only:
        with open(arguments.truth, encoding="utf-8") as file:
            truth = json.load(file)
        if not arguments.sites:
            if "totals" not in truth:
                sys.exit(f"{arguments.truth}: has no totals, use --sites")
            check_totals(truth, report, differences)
        if not arguments.totals:
            check_sites(truth, report, not arguments.sites, differences)
    if differences.count:
        print(f"{differences.count} differences")
    return 1 if differences.count else 0


if __name__ == "__main__":
    sys.exit(main())
