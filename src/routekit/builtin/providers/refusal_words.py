"""Pure: by what words providers refuse a request, where no code says it. Each pattern is one that somebody sends."""

from __future__ import annotations

import re


def _any(*phrases: str) -> re.Pattern[str]:
    return re.compile("|".join(phrases), re.IGNORECASE)


THROTTLED = _any(
    "too many (requests|tokens)[^.]{0,30}(wait|slow|again|per )",
    "rate[ _-]?limit(?!s? of)",
    "throttl",
    "requests? per (minute|second|day)",
    "tokens per (min|day)",
    "request rate",
    "quota exceeded",
    "exceeded (the|your) .{0,30}(rate|quota) ?limit",
    "please wait before trying",
)
"""Too much at once."""

CREDENTIAL = _any(
    "api[ _-]?key (is )?(not valid|invalid|expired|missing|not found|disabled|revoked|has been)",
    "(invalid|incorrect|wrong|expired|missing|no|bad) (authentication|auth|api[ _-]?key|access token"
    "|credentials?|bearer|security token)",
    "valid api key",
    "not authenticated",
    "security token .{0,30}(invalid|expired)",
    "unauthori[sz]ed",
    "credit balance",
    "(insufficient|not enough|no|out of|more) (credits?|balance|funds?|quota)",
    "billing",
    "payment (is )?required",
    "plans? & billing",
    "budget has been exceeded",
    "exceeded (your|the) (current )?(quota|budget)",
    "over budget",
    "spending limit",
    r"usage limits?\b",
    "(user )?location is not supported",
    "not (supported|available) in your (country|region|location)",
    "country, region",
    "account .{0,40}(suspended|disabled|deactivated|not active|overdue)",
    "organi[sz]ation .{0,40}(disabled|restricted|suspended|must be verified)",
    "don't have access to",
    "do not have access to",
    "not (allowed|authorized|permitted) to (access|use|call|sample)",
    "requires terms acceptance",
    "accept the terms",
    "operation not allowed",
    "has not been used in project",
    "is disabled for",
)
"""The key, the account, its money, or the place that it calls from."""

FILTERED = _any(
    "content (management|filter|safety|usage)[ a-z]* polic",
    r"content[ _]filter(ed|ing)?\b",
    "flagged (by|as|for) .{0,80}",
    "input was flagged",
    r"violat\w+ .{0,60}(usage|content|safety) polic",
    "safety system",
    "inappropriate content",
)
"""The content filter."""

NO_MODEL = _any(
    r"model\b.{0,120}?(does not exist|not found|is not available|no longer (available|supported)|is d"
    "eprecated|decommissioned)",
    "model identifier is invalid",
    r"invalid model( name| id)?\b",
    "unknown model",
    "no such model",
    "on-demand throughput isn.t supported",
    "is not a chat model",
    "model .{0,60}not (loaded|deployed)",
    "does not (support|work with) (the )?chat",
    "not a valid model id",
)
"""No such model here, or none that chats."""

GENERATION = _any(
    "failed to (call a function|generate json|parse tool call)",
    "failed_generation",
    "see 'failed",
    "malformed_function_call",
    "model (produced|generated|returned|output) .{0,30}(invalid|malformed)",
)
"""The model's own output was no good."""

UNAVAILABLE = _any(
    "service (is )?(temporarily )?unavailable",
    "(currently )?overloaded",
    "loading model",
    "model is (loading|not ready|starting)",
    "operation was cancell?ed",
    "client closed request",
    "try again later",
    "temporar(y|ily)",
    "upstream (error|request failed|connect)",
    "requires more system memory",
    "out of memory",
    "more system memory",
)
"""Not now."""

TOO_LONG = _any(
    "maximum context length",
    "context[ _-]?(length|window|size|limit)",
    "context the overflows",
    "max[ _-]?(imum)?[ _-]model[ _-]len",
    "maximum (allowed )?(input|prompt|sequence) (token )?length",
    "(input|prompt|request|conversation|context|history) (is |was )?too (long|large|big)",
    "too many (input |prompt )?tokens",
    "messages? (is|are) too long",
    "range of input length",
    "inputs.? must have less than",
    "longer than the (model|maximum|context)",
    r"inputs?.? ?(tokens?)? ?\+ .?max_new_tokens",
    "reduce (the )?(length|size|number of tokens)",
    "shorten (the|your)",
    "shorter prompt",
    "input token count .{0,40}exceeds",
    r"tokens? ?> ?\d+",
    "too large for model",
    "maximum number of (input |prompt )?tokens(?! to generate)",
    r"(exceed\w*|over|above|beyond|larger than|more than|greater than) .{0,60}(token limit|context|(i"
    "nput|prompt|sequence) (tokens?|length)|max(imum)? prompt)",
    "too large for .{0,60}tokens",
    "body too large .{0,80}tokens",
    "number of (input |prompt )?tokens .{0,80}(exceed|greater|larger|more)",
    "token (count|limit|length)s? .{0,80}exceed",
    r"exceed\w* .{0,40}(token|length) limit",
)
"""Too many tokens."""

EXCEEDS = _any(
    r"\b(prompt|input|messages?|conversation|request)\b(?!.{0,60}\b(image|audio|file|pdf|name|id|tool"
    r")).{0,60}\bexceed(s|ed)?\b.{0,60}\b(max(imum)?|limit|length|tokens?|window)",
)
"""The same, said of what is sent; what is sent beside it has limits of other kinds."""

NEGATIVE = _any(
    r"max_(completion_|new_|output_)?tokens\b.{0,80}?(?<![\w.])-\d+",
    r"(?<![\w.])-\d+.{0,60}\bmax_(completion_|new_|output_)?tokens",
)
"""What is left for an answer, reckoned by a server that takes the prompt off its window."""

OUTPUT_LIMIT = _any(
    r"max_(completion_)?tokens\b.{0,20}(is )?(too (large|high|big)|> ?\d+)",
    "(valid range of max_tokens)",
    "maximum (allowed )?number of output tokens",
    r"at most \d+ (completion|output) tokens",
)
"""More output asked for than the model writes."""

TOOL_PARSER = _any(
    "enable-auto-tool-choice",
    "tool-call-parser",
    "tool choice requires",
)
"""A server of vLLM that was started without tools."""

OURS_ALONE = _any(
    "invalid schema for",
    "invalid json schema",
    "schema is (invalid|not valid)",
    "must be followed by tool messages",
    "must be a response to a prec",
    "is not valid json",
    "could not parse the json body",
    "must not be empty",
    "at least one message",
    "tool_use. ids were found without",
    "missing required (parameter|field)",
    "field required",
)
"""Certainly the request's own fault."""

_QUOTED = r"[`'\"“]?(?P<name>[A-Za-z_][\w.\[\]]*)[`'\"”]?"
NAMED = tuple(
    re.compile(pattern.replace("<P>", _QUOTED), re.IGNORECASE)
    for pattern in (
        "(unsupported|unknown|unrecogni[sz]ed|unexpected|extra|extraneous|invalid|forbidden|deprecated) "
        "(request )?(parameters?|arguments?|fields?|keys?|names?|keyword arguments?|propert(y|ies)|value"
        r")( supplied| in request)?:? \[?<P>",
        r"(argument|parameter|property|field|param)s? (is )?(not supported|unsupported|not allowed)[\w ]*"
        r": \[?<P>",
        r"(?:^|[^\w])<P>(\.\w+)*( parameter)?[:,]? (is|are) (not (supported|permitted|allowed|available|e"
        "nabled|accepted|implemented)|unsupported|deprecated)",
        r"(?:^|[^\w])<P>(\.\w+)*: (extra inputs are not permitted|unknown field|unsupported|not supported"
        "|cannot find field)",
        "(does not|doesn.?t|do not|don.?t|cannot|can not|can.?t) (support|accept|allow|take|handle) (the"
        r" |setting |using )?(parameters?:? |arguments?:? )?\[?<P>",
        "property <P> is (unsupported|not supported)",
    )
)
"""Words that refuse a parameter, and its `name`."""

_UNABLE = "|".join(
    (
        "(does not|doesn.?t|do not|don.?t|cannot|can not|can.?t) (currently )?(support|accept|handle|pro"
        "cess|use|have|read)s? (the )?(native |any )?(?:<F>)",
        r"(?:<F>)\b[^.]{0,60}? (is|are) (not|only) (currently )?(supported|enabled|allowed|available|pe"
        "rmitted|implemented)",
        "no endpoints found that support (?:<F>)",
        "(?:<F>) (is|are) unsupported",
        "unsupported[^.]{0,20} (?:<F>)",
        "is not a (?:<F>) model",
    )
)
FEATURES = tuple(
    (name, re.compile(_UNABLE.replace("<F>", words), re.IGNORECASE))
    for name, words in (
        ("json_schema", "json[ _]?schemas?|structured[ _]outputs?"),
        ("json_object", "json[ _](mode|object)"),
        ("vision", "images?( inputs?| input modality)?|image_urls?|multi-?modal( inputs?)?|vision|visual inputs?"),
        ("audio", "audio( inputs?| input modality)?|input_audio"),
        ("pdf", "pdfs?|documents?|file inputs?"),
        ("tools", "tools?([ _-](use|calls?|calling))?|function[ _-]?call(s|ing)?|functions?|tool choice"),
        ("system", "system (messages?|prompts?|roles?|instructions?)|developer (messages?|instructions?)"),
    )
)
"""What a model is able to do, by the words that say that it is not."""
