"""A third party's target, found through its entry point, faces the same suite as the built-in ones."""

import sys
from collections.abc import Iterator

import pytest
from plugin import TARGET_MODULE, install
from suite import TargetSuite

from instantstyle.recipe.precision import Precision
from instantstyle.targets.base import Target
from instantstyle.targets.registry import get_target


class TestPlugin(TargetSuite):
    precisions = (Precision.FLOAT32,)
    packages = ("tiny_runtime",)
    reproducible = ("required-by-none", "*.pt2")

    @pytest.fixture(scope="class")
    @classmethod
    def target(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
        site = tmp_path_factory.mktemp("site")
        install(site, "tiny-target", {"tiny_target": TARGET_MODULE, "tiny_runtime": ""}, {"tiny": "tiny_target:TinyTarget"})
        sys.path.insert(0, str(site))
        try:
            yield get_target("tiny")
        finally:
            sys.path.remove(str(site))
            sys.modules.pop("tiny_target", None)
