"""Orders out of e-mails: a cheap tier answers, a check looks at it, and a dearer tier gets what failed."""

from langchain_core.prompts import ChatPromptTemplate
from pydantic import BaseModel, Field, ValidationError

from routekit.builtin.strategies import Cascade
from routekit.langchain import RoutedChatModel
from routekit.recipes.receipts import Receipts

PROMPT = ChatPromptTemplate.from_messages(
    [
        ("system", "Copy the order out of the e-mail as JSON, word for word."),
        ("user", "E-mail: Please send 9 chairs to Bill Hope in Bath."),
        ("ai", '{{"item": "chairs", "quantity": 9, "customer": "Bill Hope", "city": "Bath"}}'),
        ("user", "E-mail: hi!! 30 x blue ink. For Ana Ruiz, Lima - thanks"),
        ("ai", '{{"item": "blue ink", "quantity": 30, "customer": "Ana Ruiz", "city": "Lima"}}'),
        ("user", "E-mail: order: 1 sofa, Karl Voss (Bonn office)"),
        ("ai", '{{"item": "sofa", "quantity": 1, "customer": "Karl Voss", "city": "Bonn"}}'),
        ("user", "E-mail: {email}"),
    ]
)


class Order(BaseModel):
    """An order."""

    item: str = Field(description="what is ordered", min_length=1, max_length=40)
    quantity: int = Field(ge=1, le=1000)
    customer: str = Field(description="first and last name", min_length=1, max_length=40)
    city: str = Field(min_length=1, max_length=40)


def problem(text, email):
    """What is wrong with an extracted order, or None: it must fit the schema, and stand in the e-mail."""
    try:
        order = Order.model_validate_json(text)
    except ValidationError as error:
        return f"does not fit the schema: {error.errors()[0]['msg']}"
    read = email.lower()
    for name in ("item", "customer", "city"):
        if getattr(order, name).lower() not in read:
            return f"the {name} is not in the e-mail"
    numbers = "".join(c if c.isdigit() else " " for c in email).split()
    if str(order.quantity) not in numbers:
        return "the quantity is not in the e-mail"
    if len(order.customer.split()) < 2 or order.customer == order.city:
        return "the customer is no full name"
    return None


def checked(email, ask_in_order_of):
    """A cascade whose check knows the e-mail."""
    return Cascade(strategy=ask_in_order_of, verify=lambda answer: problem(answer.text, email) or True)


def run(context):
    emails = (context.folder / "emails.txt").read_text(encoding="utf-8").split("\n---\n")
    if context.args["short"]:
        emails = emails[:3]
    model = RoutedChatModel(router=context.router, max_tokens=64)
    console, rows = context.console, []
    total = Receipts()
    for email in (text.strip() for text in emails):
        receipts = Receipts()
        routed = model.with_strategy(checked(email, context.strategy or "cheapest"))
        chain = PROMPT | routed.with_structured_output(Order, include_raw=True)
        found = chain.invoke({"email": email}, config={"callbacks": [receipts, total]})
        call = receipts.calls[-1]
        escalated = [a for a in call["attempts"] if a["outcome"] == "escalated"]
        wrong = problem(found["raw"].text, email)
        rows.append(
            {
                "email": email,
                "order": found["parsed"].model_dump() if found["parsed"] else None,
                "deployment": call["deployment"],
                "escalated": [{"from": a["deployment"], "because": a["detail"]} for a in escalated],
                "valid": wrong is None,
                "problem": wrong,
                "cost_usd": call["cost_usd"],
            }
        )
        console.print(f"\n{email}", markup=False)
        for attempt in escalated:
            console.print(f"  {attempt['deployment']} was not good enough: {attempt['detail']}", markup=False)
        console.print(f"  {call['deployment']}: {rows[-1]['order']}, {wrong or 'passed'}", markup=False)
    escalations = sum(bool(row["escalated"]) for row in rows)
    valid = sum(row["valid"] for row in rows)
    console.print(
        f"\n{valid} of {len(rows)} orders passed the check; {escalations} were escalated; {total.cost} in all, "
        "refused answers included.",
        markup=False,
    )
    return {"orders": rows, "escalations": escalations, "valid": valid, "cost_usd": float(total.cost.usd)}
