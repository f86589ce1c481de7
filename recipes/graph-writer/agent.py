"""A writer as a LangGraph: plan, draft, review. The strategies of the nodes are in recipe.toml, under [[steps]]."""

from typing import TypedDict

from langgraph.graph import END, START, StateGraph

from routekit import Money
from routekit.langchain import RoutedChatModel
from routekit.recipes.receipts import Receipts


class Text(TypedDict, total=False):
    topic: str
    plan: str
    draft: str
    review: str


def build(model):
    """The graph. The router knows a node by its name: `when = { node = "plan" }`."""

    def plan(state: Text):
        return {"plan": model.invoke(f"List three short points for a paragraph on {state['topic']}.").text}

    def draft(state: Text):
        return {"draft": model.invoke(f"Write a short paragraph from these points:\n{state['plan']}").text}

    def review(state: Text):
        return {"review": model.invoke(f"Name one way to improve this paragraph:\n{state['draft']}").text}

    graph = StateGraph(Text)
    for node in (plan, draft, review):
        graph.add_node(node.__name__, node)
    graph.add_edge(START, "plan")
    graph.add_edge("plan", "draft")
    graph.add_edge("draft", "review")
    graph.add_edge("review", END)
    return graph.compile()


def run(context):
    # A strategy on the model goes before the step rules; without one they decide.
    model = RoutedChatModel(
        router=context.router, strategy=context.strategy, max_tokens=32 if context.args["short"] else 96
    )
    receipts = Receipts()
    text = build(model).invoke({"topic": context.args["topic"]}, config={"callbacks": [receipts]})
    for call in receipts.calls:
        context.console.print(f"\n{call['node']}: {text[call['node']].strip()}", markup=False)
        context.console.print(
            f"  by {call['deployment']} under {call['strategy']}, {Money(call['cost_nanos'])}: {call['reason']}",
            markup=False,
        )
    context.console.print(f"\nthe whole text: {receipts.cost}", markup=False)
    return {"text": text, "nodes": receipts.calls, "cost_usd": float(receipts.cost.usd)}
