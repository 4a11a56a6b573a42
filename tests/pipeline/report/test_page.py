"""The page as a file: complete, self-contained, escaped, the same for the same run."""

import dataclasses
import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from landmint.pipeline.judge.truth import TRUTH_FILE, read_truth, write_truth
from landmint.pipeline.report import write_report
from landmint.runtime.errors import LandmintError
from landmint.runtime.files import read_json, write_json
from landmint.runtime.measurement import read_measurements, write_measurement

_VOID = {"meta", "link", "br", "img", "input", "image"}


@pytest.fixture(scope="module")
def html(page: Path) -> str:
    return page.read_text(encoding="utf-8")


class _Checker(HTMLParser):
    """Collects what a browser would fetch, ids, and elements left open."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.ids: list[str] = []
        self.stack: list[str] = []
        self.unnamed_pictures = 0
        self.headings: list[int] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        for key in ("src", "href", "srcset", "action", "data", "poster", "xlink:href"):
            value = given.get(key) or ""
            if value and not value.startswith(("#", "data:")):
                self.fetched.append(value)
        if given.get("id"):
            self.ids.append(str(given["id"]))
        if given.get("role") == "img" and not given.get("aria-label"):
            self.unnamed_pictures += 1
        if re.fullmatch(r"h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag not in _VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self.stack.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in _VOID:
            assert self.stack.pop() == tag


@pytest.fixture(scope="module")
def checked(html: str) -> _Checker:
    checker = _Checker()
    checker.feed(html)
    return checker


def test_nothing_is_fetched(html: str, checked: _Checker) -> None:
    assert checked.fetched == []
    assert "http:" not in html and "https:" not in html
    assert "@import" not in html and not re.search(r"url\((?!#)", html)
    assert "default-src 'none'" in html


def test_markup_is_sound(checked: _Checker) -> None:
    assert checked.stack == []
    assert len(checked.ids) == len(set(checked.ids))
    assert checked.unnamed_pictures == 0
    assert checked.headings[0] == 1 and checked.headings.count(1) == 1
    steps = zip(checked.headings, checked.headings[1:], strict=False)
    assert all(after - before <= 1 for before, after in steps)


def test_texts_are_escaped(html: str) -> None:
    assert "<script" not in html
    assert "&lt;script&gt;" in html


def test_everything_is_told(html: str) -> None:
    for words in (
        "INT8 is faster than float32 in ONNX Runtime",
        "slower in LiteRT",
        "tensorrt/int8 was not measured",
        "Accuracy drift",
        "What could have been missed",
        "Imaginary CPU",
        "i8 x53",
        "the recipe itself",
        "landmint run fake.toml",
        "calibration",
        "a" * 64,
    ):
        assert words.lower() in html.lower(), words
    for anchor in ("variants", "speed", "accuracy", "moved", "faces", "training", "built"):
        assert f'<section id="{anchor}"' in html, anchor


def test_no_stand_in_colour_is_left(html: str) -> None:
    assert "#a0f" not in html
    used = set(re.findall(r"var\((--[\w-]+)\)", html))
    defined = set(re.findall(r"(--[\w-]+):", html))
    assert used <= defined


def test_small_enough_to_send(html: str) -> None:
    assert len(html.encode()) < 3 * 2**20


def test_same_run_same_bytes(fake_run: Path, html: str, tmp_path: Path) -> None:
    again = write_report(fake_run, tmp_path / "again.html")
    assert again.read_text(encoding="utf-8") == html


def test_bundle_and_measurements_are_enough(
    make_run: Callable[[Path], Path], tmp_path: Path
) -> None:
    run = make_run(tmp_path / "run")
    for name in ("teacher", "student", "faces", "verdict", "stages"):
        shutil.rmtree(run / name)
    html = write_report(run, tmp_path / "bare.html").read_text(encoding="utf-8")
    assert "No verdict" in html
    assert '<section id="training"' not in html and '<section id="faces"' not in html


def test_two_persons_and_landmarks_that_are_not_finite(
    make_run: Callable[[Path], Path], tmp_path: Path
) -> None:
    folder = make_run(tmp_path / "run") / "measurements"
    truth = read_truth(folder / TRUTH_FILE)
    persons = tuple("ab"[i % 2] for i in range(len(truth.persons)))
    write_truth(folder / TRUTH_FILE, dataclasses.replace(truth, persons=persons))
    broken = next(m for m in read_measurements(folder) if m.variant == "tflite/int8")
    assert broken.points is not None
    broken.points[3] = np.nan
    write_measurement(folder, broken)
    html = write_report(folder.parent, tmp_path / "two.html").read_text(encoding="utf-8")
    assert "not enough persons" in html
    assert "landmarks that are not finite" in html or "are no finite numbers" in html


def test_19_points_are_shares_of_the_box_in_every_word(
    make_run: Callable[[Path], Path], tmp_path: Path
) -> None:
    folder = make_run(tmp_path / "run") / "measurements"
    truth = read_truth(folder / TRUTH_FILE)
    points = truth.points[:, :19].copy()
    points[0, 11] = points[0, 6]  # a profile: one outer eye corner hides the other
    write_truth(folder / TRUTH_FILE, dataclasses.replace(truth, markup="19", points=points))
    for one in read_measurements(folder):
        if one.points is not None:
            write_measurement(folder, dataclasses.replace(one, points=one.points[:, :19]))
    manifest = read_json(folder.parent / "bundle" / "manifest.json")
    manifest["contract"]["markup"] = "19"
    for output in manifest["contract"]["outputs"]:
        output["shape"] = [38]
    write_json(folder.parent / "bundle" / "manifest.json", manifest)
    html = write_report(folder.parent, tmp_path / "19.html").read_text(encoding="utf-8")
    assert "the mean landmark error over the face box&#39;s size" in html
    for absent in ("eye corners", "inter-ocular", "inter_ocular", "pupil"):
        assert absent not in html, absent


def test_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LandmintError, match="no bundle"):
        write_report(tmp_path, tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()


def test_what_the_linter_said_is_told(html: str) -> None:
    for words in ("What the linter says", "head: Softmax stays outside", "decode on the device"):
        assert words in html


def test_what_to_deploy_is_told(html: str) -> None:
    assert "What to deploy" in html
    assert "slower: tflite/int8 is a defect" in html


def test_drift_is_the_rise_of_the_nme_and_no_movement(html: str) -> None:
    texts = re.sub(r"base64,[^\"')]*", "", html)
    kept = re.sub("drift_percent|accuracy drift", "", texts, flags=re.IGNORECASE)
    assert not re.findall(".{40}drift.{40}", kept, flags=re.IGNORECASE)


def test_the_machine_on_which_int8_saturates_is_told_of(
    fake_run: Path, html: str, tmp_path: Path
) -> None:
    run = shutil.copytree(fake_run, tmp_path / "run")
    for measurement in read_measurements(run / "measurements"):
        machine = measurement.machine and dataclasses.replace(measurement.machine, flags=("avx2",))
        write_measurement(run / "measurements", dataclasses.replace(measurement, machine=machine))
    sentence = "onnx/int8 and openvino/int8 may saturate on this processor, which has no VNNI"
    assert sentence in write_report(run, tmp_path / "page.html").read_text(encoding="utf-8")
    assert "may saturate" not in html
