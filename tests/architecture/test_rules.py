"""The rules that keep the design true, each with a planted violation that it must report."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.architecture import arrows, purity, shape
from tests.architecture.planted import ALLOWED, VIOLATIONS, Planted
from tests.architecture.source import pythons, texts, tracked

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.architecture.source import Source

RULES: tuple[Callable[[Source], list[str]], ...] = (
    arrows.keeps_the_arrows,
    arrows.keeps_clouds_apart,
    arrows.keeps_providers_apart,
    arrows.keeps_sdks_at_the_edge,
    purity.leaves_the_environment_to_wiring,
    purity.is_pure,
    purity.reaches_nothing,
    purity.does_nothing_at_import,
    shape.is_short,
    shape.says_what_it_tests,
    shape.gives_reasons,
)
CLOUD_FOLDERS = ("aws", "azure/fabric", "gcp")


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_every_python_file_keeps_the_rule(rule: Callable[[Source], list[str]]) -> None:
    """Every Python file of the project keeps every rule."""
    assert [complaint for source in pythons() for complaint in rule(source)] == []


@pytest.mark.parametrize("planted", VIOLATIONS, ids=str)
def test_a_planted_violation_is_reported(planted: Planted) -> None:
    """Each rule reports the violation that was planted for it."""
    complaints = planted.rule(planted.source)
    assert complaints
    assert all(complaint.startswith(planted.source.path) for complaint in complaints)


@pytest.mark.parametrize("planted", ALLOWED, ids=str)
def test_what_is_allowed_is_not_reported(planted: Planted) -> None:
    """No rule reports what the design allows."""
    assert planted.rule(planted.source) == []


def test_every_rule_has_a_planted_violation() -> None:
    """A rule that nothing was planted for could stop working unnoticed."""
    assert {planted.rule for planted in VIOLATIONS} == {*RULES, shape.belongs_everywhere}


def test_the_rules_see_the_project() -> None:
    """The rules read this very file and the core, so that an empty listing cannot pass for a clean one."""
    seen = {source.path for source in pythons()}
    assert {"tests/architecture/test_rules.py", "shared/errors.py"} <= seen


def test_no_file_names_a_registry_or_a_machine() -> None:
    """Nothing committed names a package registry or a path of one machine."""
    assert [complaint for source in texts() for complaint in shape.belongs_everywhere(source)] == []


def test_azure_stays_a_namespace() -> None:
    """The azure folder neither becomes a package nor hides a level of the SDK."""
    assert [complaint for path in tracked() for complaint in arrows.leaves_azure_a_namespace(path)] == []


@pytest.mark.parametrize("path", ["azure/__init__.py", "azure/storage/queues.py", "azure/identity.py"])
def test_a_file_that_hides_the_azure_sdk_is_reported(path: str) -> None:
    """A package marker or an SDK level's name under azure is reported."""
    assert arrows.leaves_azure_a_namespace(path)


def test_a_package_of_our_own_under_azure_is_fine() -> None:
    """A package whose name no SDK uses may live under azure."""
    assert arrows.leaves_azure_a_namespace("azure/fabric/__init__.py") == []


@pytest.mark.parametrize("cloud", CLOUD_FOLDERS)
def test_each_cloud_has_the_same_four_words(cloud: str) -> None:
    """A cloud's folder, once there is one, has handlers, wire, wiring and adapters."""
    assert shape.has_the_four_words(cloud, [path for path in tracked() if path.endswith(".py")]) == []


def test_a_cloud_without_wiring_is_reported() -> None:
    """A cloud's folder that lacks one of the four words is reported by that word."""
    paths = ["gcp/handlers.py", "gcp/wire.py", "gcp/adapters/spanner.py"]
    assert shape.has_the_four_words("gcp", paths) == ["gcp/ has no wiring"]
