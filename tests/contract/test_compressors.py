"""The built-in compressors keep the contract that third parties' compressors keep."""

from __future__ import annotations

import pytest

from routekit.builtin.compressors.dedupe import Dedupe
from routekit.builtin.compressors.json_minify import JsonMinify
from routekit.builtin.compressors.json_table import JsonTable
from routekit.builtin.compressors.middle_out import MiddleOut
from routekit.builtin.compressors.schema_minify import SchemaMinify
from routekit.builtin.compressors.summarize import Summarize
from routekit.builtin.compressors.tool_output import ToolOutput
from routekit.builtin.compressors.trim import Trim
from routekit.plugin import Answer, Compression, Compressor
from routekit.testing.contracts import CompressorContract
from routekit.types import RouteRequest


class TestTrim(CompressorContract):
    @pytest.fixture
    def compressor(self) -> Compressor:
        return Trim()


class TestJsonMinify(CompressorContract):
    @pytest.fixture
    def compressor(self) -> Compressor:
        return JsonMinify()


class TestSchemaMinify(CompressorContract):
    @pytest.fixture
    def compressor(self) -> Compressor:
        return SchemaMinify()


class TestJsonTable(CompressorContract):
    @pytest.fixture
    def compressor(self) -> Compressor:
        return JsonTable()


class TestDedupe(CompressorContract):
    @pytest.fixture
    def compressor(self) -> Compressor:
        return Dedupe()


class TestToolOutput(CompressorContract):
    @pytest.fixture
    def compressor(self) -> Compressor:
        return ToolOutput(over_tokens=50)


class TestMiddleOut(CompressorContract):
    @pytest.fixture
    def compressor(self) -> Compressor:
        return MiddleOut()


class Answered(Summarize):
    """Gets an answer to whatever it asks, as the engine would give it one."""

    def compress(self, request: RouteRequest, target_tokens: int | None) -> Compression:
        asked = self.consult(request, target_tokens)
        if asked is not None:
            said = Answer(message={"role": "assistant", "content": "They said word many times."}, finish_reason="stop")
            self.learn(asked, said)
        return super().compress(request, target_tokens)


class TestSummarize(CompressorContract):
    @pytest.fixture
    def compressor(self) -> Compressor:
        return Answered()
