#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Compares the estimates of several sampled runs to the truths that their workloads wrote.

    estimates.py TRUTH.json REPORT.jsonl [TRUTH.json REPORT.jsonl ...]

Pooled over the runs, the error of each of the totals, and of the bytes of each site with a hundred
samples or more, is to be below four of its standard errors as reported (five for sites, of which
there are many). Of the sampled blocks themselves the books must be exact. Prints every z, and exits 1
when one is too large.
"""

import json
import math
import sys

from compare import last_report, site_of

QUANTITIES = ("alloc_count", "alloc_bytes", "free_count", "free_bytes", "live_count", "live_bytes")


class Pool:
    def __init__(self):
        self.error = self.variance = self.samples = 0.0

    def add(self, truth, estimate, stderr, samples=0):
        self.error += estimate - truth
        self.variance += stderr ** 2
        self.samples += samples

    def z(self):
        return self.error / math.sqrt(self.variance) if self.variance else self.error


def check_samples(path, report):
    samples = report["totals"]["samples"]
    bad = 0
    for unit in ("count", "bytes"):
        known = sum(samples[f"{what}_{unit}"] for what in ("free", "live", "lost"))
        if samples[f"alloc_{unit}"] != known:
            print(f"{path}: {samples[f'alloc_{unit}']} {unit} sampled, {known} known of")
            bad = 1
    if samples["lost_count"]:
        print(f"{path}: {samples['lost_count']} sampled blocks lost: {report['health']['lost']}")
        bad = 1
    return bad


def add_sites(pools, truth, report):
    found = {}
    for stack in report["stacks"]:
        found.setdefault(site_of(stack), []).append(stack)
    for site, counts in truth["sites"].items():
        stacks = found.get(site, [])
        for key in ("alloc_bytes", "live_bytes"):
            pools.setdefault((site, key), Pool()).add(
                counts[key], sum(s[key] for s in stacks),
                math.sqrt(sum(s[f"{key}_stderr"] ** 2 for s in stacks)),
                sum(s["samples"] for s in stacks))


def main():
    paths, bad = sys.argv[1:], 0
    totals = {key: Pool() for key in QUANTITIES}
    sites = {}
    for truth_path, report_path in zip(paths[::2], paths[1::2]):
        report = last_report(report_path)
        with open(truth_path, encoding="utf-8") as file:
            truth = json.load(file)
        bad |= check_samples(report_path, report)
        for key, pool in totals.items():
            pool.add(truth["totals"][key], report["totals"][key],
                     report["totals"][f"{key}_stderr"])
        add_sites(sites, truth, report)
    for key, pool in totals.items():
        print(f"totals.{key}: z {pool.z():.2f}")
        bad |= abs(pool.z()) >= 4
    for (site, key), pool in sites.items():
        if pool.samples < 100:
            continue
        print(f"{site}.{key}: z {pool.z():.2f} of {pool.samples:.0f} samples")
        bad |= abs(pool.z()) >= 5
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
