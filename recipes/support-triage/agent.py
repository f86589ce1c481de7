"""A support desk as an LCEL chain: classify cheaply, retrieve, answer with the dearer tier, inside a budget."""

import uuid
from typing import Literal

from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda, RunnablePassthrough
from pydantic import BaseModel, Field

from routekit import Money
from routekit.langchain import RoutedChatModel
from routekit.recipes.receipts import Receipts

TICKETS = [
    "I forgot my password and cannot sign in any more. What do I do?",
    "My card was charged twice this month, I want my money back!",
    "The parcel arrived with a broken lid.",
]

CLASSIFY = ChatPromptTemplate.from_messages(
    [
        ("system", "Sort the support ticket into billing, account, shipping, export or other."),
        ("user", "Ticket: How do I save the table as a CSV file?"),
        ("ai", '{{"category": "export", "urgent": false}}'),
        ("user", "Ticket: My package is lost!"),
        ("ai", '{{"category": "shipping", "urgent": true}}'),
        ("user", "Ticket: I was charged for an order I never made."),
        ("ai", '{{"category": "billing", "urgent": true}}'),
        ("user", "Ticket: I cannot log in, my account is locked."),
        ("ai", '{{"category": "account", "urgent": true}}'),
        ("user", "Ticket: {ticket}"),
    ]
)
ANSWER = ChatPromptTemplate.from_messages(
    [
        ("system", "You answer support tickets in two sentences. Use only this text:\n\n{document}"),
        ("user", "{ticket}"),
    ]
)


class Triage(BaseModel):
    """Where a ticket belongs."""

    category: Literal["billing", "account", "shipping", "export", "other"]
    urgent: bool = Field(description="whether money or access is lost")


class Documents:
    """The documents of a folder, found by the likeness of their vectors to the question's."""

    def __init__(self, folder, embed):
        self.names = sorted(file.name for file in folder.glob("*.md"))
        self.texts = [(folder / name).read_text(encoding="utf-8") for name in self.names]
        self._embed = embed
        self._vectors = embed(self.texts)

    def nearest(self, question):
        (asked,) = self._embed([question])
        scores = [sum(a * b for a, b in zip(asked, vector, strict=True)) for vector in self._vectors]
        place = scores.index(max(scores))
        return {"name": self.names[place], "text": self.texts[place]}


def embedder(router):
    """A function from texts to vectors: the router's own provider of embeddings, or shares of words."""
    for deployment in router.deployments:
        if deployment.provider == "local" and "embeddings" in deployment.model.capabilities:
            return lambda texts: router.provider_of(deployment).embed(deployment, texts).vectors
    return letters


def letters(texts):
    """Unit vectors of three-letter sequences, hashed by their code points: crude, but needs no model."""
    vectors = []
    for text in texts:
        vector = [0.0] * 512
        for word in text.lower().split():
            for start in range(max(1, len(word) - 2)):
                vector[sum(ord(c) * 31**i for i, c in enumerate(word[start : start + 3])) % 512] += 1
        norm = sum(value * value for value in vector) ** 0.5 or 1.0
        vectors.append([value / norm for value in vector])
    return vectors


def build(model, documents, classify="cheapest", answer="best"):
    """ticket -> {ticket, triage, document, reply}."""
    triage = CLASSIFY | model.with_strategy(classify).with_structured_output(Triage, temperature=0)
    reply = ANSWER | model.with_strategy(answer)
    return (
        RunnablePassthrough.assign(triage=triage)
        | RunnablePassthrough.assign(found=RunnableLambda(lambda x: documents.nearest(x["ticket"])))
        | RunnablePassthrough.assign(document=lambda x: x["found"]["text"])
        | RunnablePassthrough.assign(reply=reply)
    )


def run(context):
    console = context.console
    documents = Documents(context.folder / "docs", embedder(context.router))
    tickets = [context.args["ticket"]] if context.args["ticket"] else TICKETS[: 1 if context.args["short"] else None]
    limit = next(b.limit_usd for b in context.router.config.budgets if b.scope == "run:*")
    rows = []
    for ticket in tickets:
        run_id = uuid.uuid4().hex[:8]
        # The run's scope goes with every call of the chain; the budget "run:*" counts them together.
        model = RoutedChatModel(router=context.router, scopes={"run": run_id}, max_tokens=96)
        chain = build(model, documents, classify=context.strategy or "cheapest", answer=context.strategy or "best")
        receipts = Receipts()
        done = chain.invoke({"ticket": ticket}, config={"callbacks": [receipts]})
        console.print(f"\nticket: {ticket}", markup=False)
        urgent = ", urgent" if done["triage"].urgent else ""
        console.print(f"  triage: {done['triage'].category}{urgent}; document: {done['found']['name']}", markup=False)
        console.print(f"  reply: {done['reply'].text.strip()}", markup=False)
        for step, call in zip(("classify", "answer"), receipts.calls, strict=True):
            console.print(
                f"  {step}: {call['deployment']} by {call['strategy']}, {Money(call['cost_nanos'])}: {call['reason']}",
                markup=False,
            )
        console.print(f"  budget of run {run_id}: {receipts.cost} of ${limit:g} used", markup=False)
        rows.append(
            {
                "ticket": ticket,
                "run": run_id,
                "triage": done["triage"].model_dump(),
                "document": done["found"]["name"],
                "reply": done["reply"].text,
                "steps": receipts.calls,
                "spent_usd": float(receipts.cost.usd),
                "limit_usd": str(limit),
            }
        )
    return {"tickets": rows}
