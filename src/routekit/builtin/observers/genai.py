"""Every name of the OpenTelemetry GenAI conventions that routekit uses, and its own. Nowhere else.

The conventions are still in development and their names move; this is where to follow them.
Source: the semantic conventions for generative AI, client spans and metrics.
"""

from __future__ import annotations

from routekit.types import Deployment

OPERATION = "gen_ai.operation.name"
PROVIDER = "gen_ai.provider.name"
CONVERSATION = "gen_ai.conversation.id"
REQUEST_MODEL = "gen_ai.request.model"
REQUEST_MAX_TOKENS = "gen_ai.request.max_tokens"
REQUEST_TEMPERATURE = "gen_ai.request.temperature"
RESPONSE_MODEL = "gen_ai.response.model"
FINISH_REASONS = "gen_ai.response.finish_reasons"
INPUT_TOKENS = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
CACHE_READ_TOKENS = "gen_ai.usage.cache_read.input_tokens"
CACHE_WRITE_TOKENS = "gen_ai.usage.cache_creation.input_tokens"
TOKEN_TYPE = "gen_ai.token.type"  # noqa: S105 - no password
ERROR_TYPE = "error.type"

OPERATION_DURATION = "gen_ai.client.operation.duration"
TOKEN_USAGE = "gen_ai.client.token.usage"  # noqa: S105 - no password
DURATION_BUCKETS_S = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92]
TOKEN_BUCKETS = [4**power for power in range(14)]

REQUEST_ID = "routekit.request.id"
STRATEGY = "routekit.strategy"
REASON = "routekit.decision.reason"
CANDIDATES = "routekit.candidates"
REJECTIONS = "routekit.rejections"
DEPLOYMENT = "routekit.deployment"
GROUP = "routekit.group"
STEP = "routekit.step.kind"
ATTEMPTS = "routekit.attempts"
CACHE = "routekit.cache"
COST_USD = "routekit.cost_usd"
COST_KNOWN = "routekit.cost_known"
SAVED_USD = "routekit.saved_usd"
OUTCOME = "routekit.attempt.outcome"
ROLE = "routekit.attempt.role"
TTFT_S = "routekit.ttft_s"
REQUEST_DURATION = "routekit.request.duration"
REQUEST_COST = "routekit.request.cost"

# litellm's prefixes whose name in the conventions is another one.
_PROVIDERS = {
    "azure": "azure.ai.openai",
    "azure_ai": "azure.ai.inference",
    "bedrock": "aws.bedrock",
    "gemini": "gcp.gemini",
    "mistral": "mistral_ai",
    "vertex_ai": "gcp.vertex_ai",
    "watsonx": "ibm.watsonx.ai",
    "xai": "x_ai",
}


def provider_name(deployment: Deployment) -> str:
    """The provider as the conventions call it: litellm's prefix where a model has one.

    >>> from routekit.types import Model
    >>> provider_name(Deployment(name="a", provider="litellm", model=Model(id="bedrock/claude")))
    'aws.bedrock'
    """
    prefix, slash, _ = deployment.model.id.partition("/")
    if deployment.provider == "litellm" and slash:
        return _PROVIDERS.get(prefix, prefix)
    return deployment.provider
