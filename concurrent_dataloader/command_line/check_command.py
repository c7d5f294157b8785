"""``concurrent-dataloader check``: do index, classes and objects fit together?"""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace

from concurrent_dataloader.command_line.command import EXIT_FAILED, EXIT_OK, Command
from concurrent_dataloader.command_line.indexed_place import (
    add_indexed_place_arguments,
    open_indexed_place,
    positive,
    progress_bar,
)
from concurrent_dataloader.command_line.output import say
from concurrent_dataloader.dataset.check_report import CheckReport, Finding
from concurrent_dataloader.dataset.classes import load_classes
from concurrent_dataloader.dataset.dataset_check import CHECK_THREADS, DEFAULT_SAMPLE, check_dataset


def _add_arguments(parser: ArgumentParser) -> None:
    add_indexed_place_arguments(parser, CHECK_THREADS)
    parser.add_argument("--classes", metavar="FILE", help="the classes file; without it, classes are not checked")
    parser.add_argument("--class-id-base", type=int, metavar="N", help="the class id that is target 0")
    number = parser.add_mutually_exclusive_group()
    number.add_argument(
        "--sample", type=positive, default=DEFAULT_SAMPLE, metavar="N", help="objects to read, at random (%(default)s)"
    )
    number.add_argument("--all", action="store_true", help="read every object")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="another number takes another sample (0)")
    parser.add_argument("--no-decode", action="store_true", help="the objects are no images: only read them")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")


def _run(arguments: Namespace) -> int:
    store, keys = open_indexed_place(arguments)
    classes = None if arguments.classes is None else load_classes(arguments.classes, arguments.class_id_base)
    sample = None if arguments.all else arguments.sample
    with progress_bar("checking", min(len(keys), sample or len(keys)), arguments) as on_progress:
        report = check_dataset(
            store,
            keys,
            classes,
            sample=sample,
            seed=arguments.seed,
            threads=arguments.threads,
            decode=not arguments.no_decode,
            on_progress=on_progress,
        )
    if arguments.json:
        say(json.dumps(report.as_json(), indent=2))
    else:
        _say_report(report, arguments)
    return EXIT_OK if report.ok else EXIT_FAILED


def _say_report(report: CheckReport, arguments: Namespace) -> None:
    say(f"{arguments.index}: {report.keys:,} keys, {report.duplicate_keys:,} of them for the second time or more often")
    if report.class_entries is not None:
        say(f"{arguments.classes}: {report.class_entries:,} entries")
    say(f"{arguments.location}: {report.sampled:,} objects looked at{_sizes(report)}")
    for finding in report.findings:
        _say_finding(finding)
    say("nothing is wrong" if report.ok else f"problems: {len(report.findings)}")


def _sizes(report: CheckReport) -> str:
    sizes = report.sizes
    if sizes is None:
        return ""
    return f", of {sizes.min_bytes:,} to {sizes.max_bytes:,} bytes, median {sizes.median_bytes:,}"


def _say_finding(finding: Finding) -> None:
    say(f"\n{finding.count:,} {finding.problem}:")
    for example in finding.examples:
        say(f"    {example}")
    if finding.count > len(finding.examples):
        say(f"    and {finding.count - len(finding.examples):,} more")
    say(f"  -> {finding.fix}")


CHECK = Command("check", "checks that index, classes and objects fit together", _add_arguments, _run)
