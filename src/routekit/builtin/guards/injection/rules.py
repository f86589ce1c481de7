"""Pure: sentences that tell a model to leave its instructions, in eleven languages.

A rule needs two things near each other: what is to be done (forget, ignore, reveal) and to what (instructions, rules,
the system prompt). Each is a list of words; their order and what stands between them is open.
"""

from __future__ import annotations

import re

_OVERRIDE = (
    "ignor|disregard|forget|overrid|bypass|neglect|skip|dismiss|discard|cancel|drop all|"
    "stop following|do not follow|don't follow|"
    "no longer follow|pay no attention|set aside|throw out|vergiss|vergessen|missacht|"
    "beachte nicht|ignorier|umgeh|oubli|ne tiens pas compte|"
    "ne tenez pas compte|olvid|omite|haz caso omiso|dimentica|trascura|non tenere conto|negeer|"
    "vergeet|zignoruj|zapomnij|pomiń|esque[çc]|desconsider|"
    "glöm|strunta|bortse|игнориру|забуд|не обращай|abaikan|lupakan|unut|yoksay|görmezden|무시|잊어|"
    "無視|忘れ|忽略|忘记|無視|अनदेखा|भूल"
)
_WHOSE = (
    "previous|prior|above|earlier|preceding|former|all|any|every|your|the|my|these|those|"
    "initial|original|system|existing|current|given|foregoing|past|"
    "vorherig|bisherig|obige|alle|deine|précéd|antérieur|toutes|vos|tes|ci-dessus|anterior|"
    "previ|todas|tus|sus|precedent|tutte|tue|vorige|eerdere|"
    "wcześniejsz|poprzedni|wszystk|tidigare|föregående|alla|предыдущ|все|прежн|sebelum|önceki|"
    "tüm|이전|모든|以前|前の|これまで|之前|先前|所有|以上|पिछले|सभी"
)
_WHAT = (
    "instruct|prompt|rule|guideline|directive|direction|command|polic|restriction|constraint|"
    "safety|guardrail|filter|context|message|conversation|"
    "everything|training|programming|order|anweisung|vorgabe|regel|befehl|instruktion|consigne|"
    "règle|instruccion|instrução|instruções|regla|regra|"
    "istruzion|regol|instructie|opdracht|polece|instrukcj|zasad|instruktion|anvisning|инструкци|"
    "правил|указани|instruksi|aturan|talimat|kural|"
    "지시|규칙|명령|지침|指示|命令|ルール|指令|规则|說明|说明|提示|निर्देश|नियम"
)
_HIDDEN = (
    "system prompt|system message|initial prompt|hidden prompt|hidden instruction|"
    "secret instruction|original instruction|your instruction|your prompt|"
    "initial instruction|above instruction|instructions above|text above|words above|"
    "everything above|prompt above|your rules|your guidelines|"
    "systemprompt|system-prompt|systemanweisung|prompt système|prompt del sistema|"
    "instrucciones iniciales|prompt do sistema|prompt di sistema|"
    "系统提示|システムプロンプト|시스템 프롬프트|системн\\w+ (?:промпт|инструкци)|конфиденциальн"
)
_REVEAL = (
    "reveal|show|print|repeat|output|display|tell|leak|dump|disclose|share|expose|write|give|"
    "return|recite|translate|summari|what (?:is|are|was|were)|"
    "zeig|verrat|nenn|gib|montre|révèl|affich|muestra|revela|imprim|mostra|rivel|toon|pokaż|"
    "ujawnij|visa|покажи|выведи|раскрой|告诉|显示|表示|教え|보여"
)

_OVERRIDES = tuple(_OVERRIDE.split("|"))
_REST = re.compile(rf"(?:{_WHOSE})[^.!?\n]{{0,40}}?(?:{_WHAT})")
_REST_ANY = re.compile(rf"[^.!?\n]{{0,40}}?(?:{_WHAT})")
_SECRET_NEEDLES = (
    "prompt",
    "instruc",
    "rules",
    "guidelines",
    "above",
    "anweisung",
    "iniciales",
    "提示",
    "プロンプト",
    "프롬프트",
    "систем",
    "конфи",
)
_SECRETS = re.compile(_HIDDEN)
_REVEALS = re.compile(_REVEAL)

_STRONG = tuple(
    (tuple(needles.split("|")), re.compile(pattern))
    for needles, pattern in (
        ("dan|jail|unrestr|unfilt|uncens|developer mode|god mode|evil|restric|without",
         r"\b(?:you are|you're|act as|pretend to be|become|enter|enable|activate|switch to"
         r"|simulate)\b.{0,40}\b(?:dan\b|do anything now|jailbroken|unrestricted|"
         r"unfiltered|uncensored|developer mode|god mode|evil|no restrictions|without (?:any )?(?:restriction|filter"
         r"|limit|rule)|sin restricciones|sans restriction)"),
        ("openai|content|ethical|safety|moral",
         r"\b(?:no|without|free from|not bound by|break free).{0,24}\b(?:openai|content|ethical|safety"
         r"|moral) (?:polic|guideline|rule|restriction|filter)"),
        ("<|[|#",
         r"<\|?(?:im_start|im_end|system|endoftext|start_header_id)\|?>|\[/?inst\]|<</?sys>>|###? ?(?:system"
         r"|new instruction|instruction)s?\b ?:"),
        ("instruction|prompt|directive|task|order|command",
         r"\b(?:new|updated|real|actual|important|revised|override) (?:system )?(?:instruction|prompt|directive|task"
         r"|order|command)s?\b ?[:!]"),
        ("important| of ",
         r"\bimportant\b ?!+.{0,60}\b(?:ignore|instruction)|\b(?:end|start|begin) of (?:the )?(?:system )?(?:prompt"
         r"|instruction|context)"),
        ("do not",
         r"\bdo not (?:tell|inform|mention|alert|notify).{0,30}\b(?:user|human|owner|customer|anyone)"),
        ("this",
         r"\b(?:ai|assistant|language model|llm|chatbot|agent)s?\b[^.\n]{0,24}\b(?:reading|processing|summari[sz]ing"
         r"|parsing) this\b"),
        ("ai|assistant|llm|language model|agent",
         r"\b(?:attention|note|message|instruction)s? (?:to|for) (?:the |any |all )?(?:ai|assistant|llm"
         r"|language model|agent)s?\b"),
        ("access granted|pwned|hacked",
         r"\b(?:say|reply|respond|answer|output|print|write)\b[^.\n]{0,12}\b(?:access granted|i have been pwned"
         r"|pwned|hacked)\b"),
        ("password|credential|api key|token|secret|customer list|user data|chat history|conversation",
         r"\b(?:send|forward|post|upload|exfiltrate|transmit|email)\b[^.\n]{0,60}\b(?:password|credential|api key"
         r"|token|secret|customer list|user data|chat history|conversation)"
         r"[^.\n]{0,40}(?:\bto\b|https?:|@)"),
    )
)  # fmt: skip


def rule_score(text: str) -> float:
    """0..1: how sure the rules are that a text in lower case wants instructions to be left or told."""
    for stem in _OVERRIDES:
        place = text.find(stem)
        for _ in range(50):
            if place < 0:
                break
            if _overrides(text, place, place + len(stem)):
                return 1.0
            place = text.find(stem, place + len(stem))
    if any(needle in text for needle in _SECRET_NEEDLES):
        for count, match in enumerate(_SECRETS.finditer(text)):
            if count > 100:
                break
            if _REVEALS.search(text[max(0, match.start() - 60) : match.end() + 40]):
                return 0.9
    for needles, pattern in _STRONG:
        if any(needle in text for needle in needles) and pattern.search(text):
            return 0.7
    return 0.0


def _overrides(text: str, start: int, end: int) -> bool:
    """Whether what stands around a word for leaving is what may not be left."""
    behind = text[end : end + 110]
    if _REST.match(behind, _skip(behind)) or _REST.search(behind, 0, 70):
        return True
    if text[start:end].isascii():
        return False
    before = text[max(0, start - 48) : start]
    return bool(_REST_ANY.match(behind) or _REST_ANY.search(before))


def _skip(text: str) -> int:
    place = 0
    while (
        place < len(text)
        and (text[place].isalpha() or text[place] == " ")
        and place < 12
        and not _REST.match(text, place)
    ):
        place += 1
    return place
