"""Writes calibration.jsonl: the pairs that the guard and the bound were made with.

A line is a question | paraphrases | negatives with their kind; templates give more negatives.
"""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

HERE = Path(__file__).parent

LINES = (HERE / "calibration.txt").read_text().splitlines()

TEMPLATES = (
    ("topic", "How do I clean my {}?", "oven|sink|shoes|grill|keyboard|sofa|windows|teeth"),
    ("topic", "What is the history of {}?", "chess|jazz|money|tea|writing|sugar|coffee|salt"),
    ("topic", "Where can I buy {}?", "stamps|candles|bricks|seeds|batteries|ladders|ribbons"),
    ("topic", "How do I {} a photo?", "crop|print|share|rotate|scan|frame|delete"),
    ("name", "Is it warm in {} now?", "Athens|Dublin|Cairo|Lima|Seoul|Perth|Delhi"),
    ("name", "is {} cheaper than before", "ikea|lidl|amazon|zara|walmart|tesco"),
    ("name", "Who is the CEO of {}?", "Nike|Adidas|Puma|Sony|Canon|Nikon"),
    ("name", "How do I say hello in {}?", "Turkish|Hindi|Danish|Welsh|Thai|Greek"),
    ("number", "How do I share a bill between {} people?", "3|4|5|6|7|8|16"),
    ("number", "Is {} a good salary?", "30000|35000|50000|53000|80000"),
    ("number", "What is {} plus eleven?", "5|7|50|57|70|75"),
    ("number", "Recommend {} books.", "two|three|four|six|twelve"),
    ("unit", "How long is the rope in {}?", "yards|meters|feet|inches|centimeters"),
    ("unit", "How much does it pay per {}?", "hour|day|week|month|year"),
    ("date", "Is the gym open on {}?", "Monday|Tuesday|Thursday|Saturday|Christmas Eve"),
    ("date", "What did I spend {}?", "today|yesterday|last week|last month|in May|in June"),
    ("code", "What does {} do?", "list.append|list.extend|list.insert|list.pop|list.sort"),
    ("code", "What is the option {}?", "--force|--dry-run|--all|--quiet|--verbose"),
    ("code", "How do I open {}?", "notes.txt|notes.md|data.csv|data.xlsx"),
    ("antonym", "Is it {} today?", "hot|cold|wet|dry"),
    ("antonym", "Should I {} the file?", "open|close|lock|unlock|compress|extract"),
    ("antonym", "How do I {} a user?", "add|remove|block|unblock|follow|unfollow"),
    ("negation", "Do I need to {} it?", "wash|not wash"),
    ("negation", "Is a sandwich {} fine?", "with onions|without onions"),
)
TURNED = (
    ("How many {} are in a {}?", "cups/liter|ounces/pound|seconds/minute"),
    ("Is {} richer than {}?", "Spain/Italy|Qatar/Kuwait|Bill/Steve"),
    ("How do I copy from {} to {}?", "disk/tape|Excel/Word|A/B"),
    ("Did {} hire {}?", "Apple/Jobs|Real Madrid/Zidane|Anna/Bert"),
    ("Does {} follow {}?", "Tuesday/Monday|B/A|rain/thunder"),
)


def main() -> None:
    rows = []
    for line in LINES:
        question, same, different = line.split("|")
        rows += [{"a": question, "b": text.strip(), "same": True, "kind": "paraphrase"} for text in same.split(";")]
        for item in different.split(";"):
            kind, _, text = item.partition(":")
            rows.append({"a": question, "b": text.strip(), "same": False, "kind": kind})
    for kind, template, fillers in TEMPLATES:
        for a, b in pairwise(fillers.split("|")):
            rows.append({"a": template.format(a), "b": template.format(b), "same": False, "kind": kind})
    for template, pairs in TURNED:
        for pair in pairs.split("|"):
            a, b = pair.split("/")
            rows.append({"a": template.format(a, b), "b": template.format(b, a), "same": False, "kind": "order"})
    written = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (HERE / "calibration.jsonl").write_text(written + (HERE / "independent-calibration.jsonl").read_text())


if __name__ == "__main__":
    main()
