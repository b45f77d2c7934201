"""Label noise: planted flips are found, honest labels are left alone, and what cannot be judged is not."""

from __future__ import annotations

import numpy as np
import pytest

from conftest import Clinc
from rodagila.core.errors import InvalidInput
from rodagila.core.vectors import Int8Array
from rodagila.learn.label_noise import LEAST, confident_suspects, find_label_noise, noise_share


def planted(clinc: Clinc, share: float, seed: int) -> tuple[Int8Array, list[str], set[int]]:
    """Return the records of 50 labels, with a share of their labels replaced by others, and which."""
    names = sorted(set(clinc.owned.targets))[:50]
    rows = [row for row, label in enumerate(clinc.owned.targets) if label in names]
    labels = [clinc.owned.targets[row] for row in rows]
    rng = np.random.default_rng(seed)
    flipped = set(rng.permutation(len(rows))[: int(share * len(rows))].tolist())
    for row in flipped:
        labels[row] = names[(names.index(labels[row]) + int(rng.integers(1, len(names)))) % len(names)]
    return clinc.owned.vectors[rows], labels, flipped


@pytest.mark.parametrize("share", [0.05, 0.1, 0.2])
def test_planted_flips_are_found_with_few_false_alarms(clinc: Clinc, share: float) -> None:
    vectors, labels, flipped = planted(clinc, share, seed=31)
    found = find_label_noise(vectors, labels)
    suspects = {one.place for one in found.suspects}
    assert len(suspects & flipped) >= 0.7 * len(flipped)  # ten records a label vouch for little
    assert len(suspects & flipped) >= 0.6 * len(suspects)
    assert abs(found.share_ppm / 1e6 - share) < 0.06
    assert sum(count for _, _, count in found.confused) == len(suspects)


def test_labels_as_they_came_are_mostly_left_alone(clinc: Clinc) -> None:
    vectors, labels, _ = planted(clinc, 0, seed=1)
    assert len(find_label_noise(vectors, labels).suspects) <= 0.05 * len(labels)


def test_a_suspect_names_both_labels_and_the_most_suspect_comes_first(clinc: Clinc) -> None:
    vectors, labels, _ = planted(clinc, 0.1, seed=5)
    suspects = find_label_noise(vectors, labels).suspects
    assert all(labels[one.place] == one.label != one.likelier for one in suspects)
    assert [one.probability_ppm for one in suspects] == sorted(one.probability_ppm for one in suspects)
    assert find_label_noise(vectors, labels).suspects == suspects


def test_rare_labels_are_not_judged() -> None:
    rng = np.random.default_rng(1)
    vectors = rng.integers(-100, 100, (20 + LEAST - 1, 8)).astype(np.int8)
    labels = ["a"] * 10 + ["b"] * 10 + ["rare"] * (LEAST - 1)
    found = find_label_noise(vectors, labels)
    assert found.judged == 20
    assert all(one.label != "rare" for one in found.suspects)
    assert find_label_noise(vectors[:10], labels[:10]).judged == 0


def test_the_confident_joint_counts_what_is_confidently_another_label() -> None:
    likely = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.2, 0.8], [0.05, 0.95]])
    codes = np.array([0, 0, 1, 1, 0])  # thresholds: (.9 + .8 + .05) / 3 = .583 and .85
    assert confident_suspects(likely, codes).tolist() == [4]
    # row a: 2 of 3 stay; row b: the one at .9 stays, the one at .8 is not confident: (3 x 1/3 + 0) / 5
    assert noise_share(likely, codes) == pytest.approx(1 / 5)


def test_labels_must_be_one_for_each_vector() -> None:
    with pytest.raises(InvalidInput):
        find_label_noise(np.zeros((2, 4), np.int8), ["a"])
