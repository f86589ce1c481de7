"""The built-in compressors keep the contract that third parties' compressors keep."""

from __future__ import annotations

import pytest

from routekit.builtin.compressors.json_minify import JsonMinify
from routekit.builtin.compressors.trim import Trim
from routekit.plugin import Compressor
from routekit.testing.contracts import CompressorContract


class TestTrim(CompressorContract):
    @pytest.fixture
    def compressor(self) -> Compressor:
        return Trim()


class TestJsonMinify(CompressorContract):
    @pytest.fixture
    def compressor(self) -> Compressor:
        return JsonMinify()
