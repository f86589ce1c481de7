"""Is drawing several answers from the local model better than one? Measured and printed, not claimed.

Asks 60 questions with a verifiable answer at three tiers of the same weights, and prints accuracy with its
95 % interval (Wilson), what changed against one answer (with the exact McNemar test), and time per
question; before that, how fast the model loads, reads and writes. Takes some three minutes on two cores::

    python benchmarks/local_tiers.py [--questions N]
"""

from __future__ import annotations

import argparse
import math
import re
import statistics
import time

from routekit.builtin.providers.local.provider import LocalOptions, LocalProvider
from routekit.plugin import ProviderCall
from routekit.types import Deployment, Model

# A question, and a pattern that a right answer contains (case ignored).
QUESTIONS = [
    ("What is the capital of France?", r"\bparis\b"),
    ("What is the capital of Italy?", r"\brome\b"),
    ("What is the capital of Japan?", r"\btokyo\b"),
    ("What is the capital of Spain?", r"\bmadrid\b"),
    ("What is the capital of Germany?", r"\bberlin\b"),
    ("What is the capital of Egypt?", r"\bcairo\b"),
    ("What is the capital of Russia?", r"\bmoscow\b"),
    ("What is the capital of Greece?", r"\bathens\b"),
    ("What is the capital of Canada?", r"\bottawa\b"),
    ("What is the capital of Australia?", r"\bcanberra\b"),
    ("What is 2 + 2?", r"\b(4|four)\b"),
    ("What is 7 + 5?", r"\b(12|twelve)\b"),
    ("What is 10 - 3?", r"\b(7|seven)\b"),
    ("What is 6 times 7?", r"\b(42|forty-two)\b"),
    ("What is 9 times 9?", r"\b(81|eighty-one)\b"),
    ("What is 100 divided by 4?", r"\b(25|twenty-five)\b"),
    ("What is half of 50?", r"\b(25|twenty-five)\b"),
    ("What is 15 + 27?", r"\b(42|forty-two)\b"),
    ("What is the square root of 64?", r"\b(8|eight)\b"),
    ("How many minutes are in an hour?", r"\b(60|sixty)\b"),
    ("How many days are in a week?", r"\b(7|seven)\b"),
    ("How many months are in a year?", r"\b(12|twelve)\b"),
    ("How many hours are in a day?", r"\b(24|twenty-four)\b"),
    ("How many legs does a spider have?", r"\b(8|eight)\b"),
    ("How many legs does an insect have?", r"\b(6|six)\b"),
    ("How many sides does a triangle have?", r"\b(3|three)\b"),
    ("How many sides does a hexagon have?", r"\b(6|six)\b"),
    ("How many continents are there?", r"\b(7|seven)\b"),
    ("How many planets are in the solar system?", r"\b(8|eight)\b"),
    ("How many players of one team are on the field in soccer?", r"\b(11|eleven)\b"),
    ("What is the largest planet in the solar system?", r"\bjupiter\b"),
    ("Which planet is closest to the Sun?", r"\bmercury\b"),
    ("Which planet is known as the Red Planet?", r"\bmars\b"),
    ("What is the largest ocean on Earth?", r"\bpacific\b"),
    ("What is the largest mammal?", r"\bblue whale\b"),
    ("What is the tallest animal?", r"\bgiraffe\b"),
    ("What is the fastest land animal?", r"\bcheetah\b"),
    ("What is the highest mountain in the world?", r"\beverest\b"),
    ("On which continent is Kenya?", r"\bafrica\b"),
    ("On which continent is Brazil?", r"\bsouth america\b"),
    ("What is the chemical symbol of water?", r"\bH2O\b|H₂O"),
    ("What is the chemical symbol of gold?", r"\bAu\b"),
    ("What gas do plants take in for photosynthesis?", r"carbon dioxide|\bCO2\b|CO₂"),
    ("Which gas do humans need to breathe to live?", r"\boxygen\b"),
    ("At what temperature in Celsius does water boil?", r"\b100\b"),
    ("At what temperature in Celsius does water freeze?", r"\b(0|zero)\b"),
    ("What color do you get from mixing blue and yellow?", r"\bgreen\b"),
    ("What color is a ripe banana?", r"\byellow\b"),
    ("What is the opposite of hot?", r"\bcold\b"),
    ("What is the opposite of up?", r"\bdown\b"),
    ("What is the plural of mouse?", r"\bmice\b"),
    ("What is the past tense of go?", r"\bwent\b"),
    ("Who wrote Romeo and Juliet?", r"\bshakespeare\b"),
    ("Who painted the Mona Lisa?", r"\b(leonardo|da vinci)\b"),
    ("Who developed the theory of relativity?", r"\beinstein\b"),
    ("Who was the first president of the United States?", r"\bwashington\b"),
    ("In which year did World War II end?", r"\b1945\b"),
    ("In which year did humans first land on the Moon?", r"\b1969\b"),
    ("Which language is spoken in Brazil?", r"\bportuguese\b"),
    ("What is the currency of Japan?", r"\byen\b"),
]
MAX_TOKENS = 48
TIERS = {
    "one answer": LocalOptions(),
    "best of 5, logprob": LocalOptions(best_of=5, select="logprob"),
    "best of 5, majority": LocalOptions(best_of=5, select="majority"),
}


def call(prompt: str, max_tokens: int = MAX_TOKENS, seed: int = 1) -> ProviderCall:
    return ProviderCall(
        deployment=Deployment(name="local", provider="local", model=Model(id="smollm2")),
        messages=({"role": "user", "content": prompt},),
        params={"max_tokens": max_tokens, "seed": seed},
    )


def wilson(right: int, total: int) -> tuple[float, float]:
    """The 95 % interval of a proportion."""
    z, p = 1.96, right / total
    middle = (p + z * z / (2 * total)) / (1 + z * z / total)
    half = z * math.sqrt(p * (1 - p) / total + z * z / (4 * total * total)) / (1 + z * z / total)
    return middle - half, middle + half


def mcnemar(gained: int, lost: int) -> float:
    """The exact two-sided p value that gains and losses are equally likely."""
    n = gained + lost
    tail = sum(math.comb(n, k) for k in range(min(gained, lost) + 1)) / 2**n
    return min(1.0, 2 * tail)


def speed() -> None:
    provider = LocalProvider(LocalOptions())
    started = time.perf_counter()
    provider.complete(call("Hi", max_tokens=1))
    print(f"load and first token  {time.perf_counter() - started:.2f} s")
    firsts, rates = [], []
    for n in range(5):
        started = time.perf_counter()
        stream = provider.stream(call(f"Write a story about {n} friends.", max_tokens=64))
        next(stream)
        first = time.perf_counter()
        usage = [chunk.usage for chunk in stream][-1]
        rates.append((usage.output_tokens - 1) / (time.perf_counter() - first))
        firsts.append(first - started)
    print(f"first token, loaded   {statistics.median(firsts):.2f} s (median of 5, prompt of 30 tokens)")
    print(f"writing               {statistics.median(rates):.0f} tokens/s (median of 5)")
    started = time.perf_counter()
    usage = provider.complete(call("word " * 1500, max_tokens=1)).usage
    print(f"reading               {usage.input_tokens / (time.perf_counter() - started):.0f} tokens/s\n")
    provider.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--questions", type=int, default=len(QUESTIONS))
    questions = QUESTIONS[: parser.parse_args().questions]
    speed()
    base: list[bool] = []
    print(
        f"{'tier':<21} {'right':>8}  {'accuracy':>8}  {'95 % interval':<14} {'gained/lost':>11}  {'p':>5}  s/question"
    )
    for name, options in TIERS.items():
        provider = LocalProvider(options)
        provider.complete(call("Hi", max_tokens=1))
        started = time.perf_counter()
        marks = [
            re.search(pattern, provider.complete(call(question, seed=n)).text, re.IGNORECASE) is not None
            for n, (question, pattern) in enumerate(questions)
        ]
        spent = (time.perf_counter() - started) / len(questions)
        provider.close()
        base = base or marks
        gained = sum(new and not old for new, old in zip(marks, base, strict=True))
        lost = sum(old and not new for new, old in zip(marks, base, strict=True))
        low, high = wilson(sum(marks), len(marks))
        changed = "" if marks is base else f"+{gained}/-{lost}"
        p = "" if marks is base else f"{mcnemar(gained, lost):.2f}"
        print(
            f"{name:<21} {sum(marks):>4}/{len(marks):<3}  {sum(marks) / len(marks):>8.0%}  "
            f"{f'{low:.0%} to {high:.0%}':<14} {changed:>11}  {p:>5}  {spent:>10.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
