"""All that a plugin author imports: contracts, registrations, hooks, and the vocabulary they use."""

from routekit.plugin.budget import Budget, BudgetPlugin, Ledger
from routekit.plugin.cache import Cache, CachePlugin, CacheStats, SemanticCache, question_of
from routekit.plugin.compressor import RETRIEVE_ORIGINAL, Compression, Compressor, CompressorPlugin
from routekit.plugin.entrycodec import decode_entry, encode_entry
from routekit.plugin.forking import new_lock_after_fork, reset_after_fork
from routekit.plugin.guard import ALLOW, Guard, GuardPlugin, GuardSession, GuardVerdict
from routekit.plugin.hookspecs import hookimpl
from routekit.plugin.observer import Observer, ObserverPlugin
from routekit.plugin.offload import offload, pump
from routekit.plugin.once import Once, OncePerKey
from routekit.plugin.options import NoOptions, Options
from routekit.plugin.provider import Embeddings, Provider, ProviderCall, ProviderPlugin
from routekit.plugin.recipe import RecipePlugin
from routekit.plugin.registration import API_VERSION, Plugin, PluginContext
from routekit.plugin.scorer import Scorer, ScorerPlugin
from routekit.plugin.secretfile import secret_at
from routekit.plugin.shared import SharedPlugin, SharedState
from routekit.plugin.strategy import Strategy, StrategyPlugin
from routekit.plugin.urls import refuse_secrets_in_url
from routekit.types import (
    ACCEPT,
    Answer,
    Candidate,
    Chunk,
    Finding,
    Ranking,
    RouteDecision,
    RouteRequest,
    Score,
    Signals,
    Verdict,
)

__all__ = [
    "ACCEPT",
    "ALLOW",
    "API_VERSION",
    "RETRIEVE_ORIGINAL",
    "Answer",
    "Budget",
    "BudgetPlugin",
    "Cache",
    "CachePlugin",
    "CacheStats",
    "Candidate",
    "Chunk",
    "Compression",
    "Compressor",
    "CompressorPlugin",
    "Embeddings",
    "Finding",
    "Guard",
    "GuardPlugin",
    "GuardSession",
    "GuardVerdict",
    "Ledger",
    "NoOptions",
    "Observer",
    "ObserverPlugin",
    "Once",
    "OncePerKey",
    "Options",
    "Plugin",
    "PluginContext",
    "Provider",
    "ProviderCall",
    "ProviderPlugin",
    "Ranking",
    "RecipePlugin",
    "RouteDecision",
    "RouteRequest",
    "Score",
    "Scorer",
    "ScorerPlugin",
    "SemanticCache",
    "SharedPlugin",
    "SharedState",
    "Signals",
    "Strategy",
    "StrategyPlugin",
    "Verdict",
    "decode_entry",
    "encode_entry",
    "hookimpl",
    "new_lock_after_fork",
    "offload",
    "pump",
    "question_of",
    "refuse_secrets_in_url",
    "reset_after_fork",
    "secret_at",
]
