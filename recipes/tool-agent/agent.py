"""An agent with a calculator and a converter of time zones, whose steps are routed differently."""

import ast
import datetime as dt
import operator
from zoneinfo import ZoneInfo

from langchain.agents import create_agent
from langchain_core.messages import ToolMessage
from langchain_core.tools import tool
from langgraph.errors import GraphRecursionError

from routekit import Money
from routekit.errors import AllAttemptsFailedError, InvalidResponseError
from routekit.langchain import RoutedChatModel, RoutingMiddleware
from routekit.recipes.receipts import Receipts

QUESTIONS = ["What is 23 * 19?", "It is 14:30 in Europe/Berlin. What time is it in Asia/Tokyo?"]
MAX_STEPS = 9  # of the graph: a small model may call tools for ever

OPERATORS = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
}


def evaluate(expression):
    """The value of an arithmetic expression: numbers, brackets and + - * / // %, nothing else."""

    def value(node):
        match node:
            case ast.Expression(body=body):
                return value(body)
            case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
                return number
            case ast.UnaryOp(op=op, operand=operand) if type(op) in OPERATORS:
                return OPERATORS[type(op)](value(operand))
            case ast.BinOp(left=left, op=op, right=right) if type(op) in OPERATORS:
                return OPERATORS[type(op)](value(left), value(right))
        raise ValueError("only numbers, brackets and + - * / // % are allowed")

    if len(expression) > 200:
        raise ValueError("the expression is too long")
    return value(ast.parse(expression.strip(), mode="eval"))


@tool
def calculate(expression: str) -> str:
    """Computes an arithmetic expression such as "12 * (3 + 4)"."""
    try:
        return str(evaluate(expression))
    except (ValueError, SyntaxError, ArithmeticError, RecursionError) as error:
        return f"error: {error}"


@tool
def convert_time(time: str, from_zone: str, to_zone: str) -> str:
    """Converts today's time such as "14:30" between time zones such as "Europe/Berlin" and "Asia/Tokyo"."""
    try:
        clock = dt.time.fromisoformat(time)
        here = dt.datetime.combine(dt.datetime.now(ZoneInfo(from_zone)).date(), clock, ZoneInfo(from_zone))
        return here.astimezone(ZoneInfo(to_zone)).strftime("%H:%M on %d %B")
    except (ValueError, OSError, LookupError) as error:
        return f"error: {error}"


def build(model, strategies):
    return create_agent(
        model,
        [calculate, convert_time],
        system_prompt="You are a helpful assistant.",
        middleware=[RoutingMiddleware(**strategies)],
    )


def run(context):
    strategies = {"plan": "best", "act": "cheapest", "answer": "balanced"}
    if context.strategy:
        strategies = dict.fromkeys(strategies, context.strategy)
    model = RoutedChatModel(router=context.router, max_tokens=96)
    agent, console = build(model, strategies), context.console
    question = context.args["question"]
    rows = []
    for asked in [question] if question else QUESTIONS[: 1 if context.args["short"] else None]:
        receipts, messages, stopped = Receipts(), [], ""
        config = {"callbacks": [receipts], "recursion_limit": MAX_STEPS}
        try:
            for state in agent.stream({"messages": [("user", asked)]}, config=config, stream_mode="values"):
                messages = state["messages"]
        except GraphRecursionError:
            stopped = f"stopped after {MAX_STEPS} steps without an answer"
        except AllAttemptsFailedError as error:
            if not all(isinstance(attempt.error, InvalidResponseError) for attempt in error.attempts):
                raise
            stopped = f"stopped: no model wrote a call or an answer that can be read ({error})"
        finished = not stopped
        used = [message for message in messages if isinstance(message, ToolMessage)]
        answer = messages[-1].text.strip() if finished else ""
        console.print(f"\nquestion: {asked}", markup=False)
        for message in used:
            console.print(f"  tool {message.name} returned {message.text}", markup=False)
        for call in receipts.calls:
            console.print(
                f"  {call['deployment']} under {call['strategy']}, {Money(call['cost_nanos'])}: {call['reason']}",
                markup=False,
            )
        if not finished:
            console.print(f"  {stopped}", markup=False)
        else:
            console.print(f"  answer: {answer}", markup=False)
        heeded = finished and any(message.text.split()[0] in answer for message in used if message.text)
        if used and finished and not heeded:
            console.print("  the answer does not have what the tool returned", markup=False)
        if finished and not used:
            console.print("  no tool was used: the answer is the model's own word", markup=False)
        rows.append(
            {
                "question": asked,
                "finished": finished,
                "stopped": stopped,
                "answer": answer,
                "heeded": heeded,
                "tools": [{"name": m.name, "result": m.text} for m in used],
                "steps": receipts.calls,
                "cost_usd": float(receipts.cost.usd),
            }
        )
    if context.is_local and not all(row["heeded"] for row in rows):
        console.print(
            "\nThe local model is small: it often calls no tool, the wrong one, or ignores the result. For an agent to "
            "rely on, set an API key, or name a model that was trained to call tools in a routekit.toml.",
            markup=False,
        )
    return {"questions": rows}
