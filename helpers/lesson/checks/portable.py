"""Checks of notebook 09, Take it with you."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
import onnx
from onnx import TensorProto, helper

from helpers.lesson.checks import verdict
from helpers.lesson.checks.verdict import Wrong, called, close, exercise, explain, number
from helpers.runtime import counter

CONTEXT, HOPS = 0.5, (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 4.0)  # seconds
STEP, NUDGE = 0.25, 0.05


# --- a hash -----------------------------------------------------------------------------------------------


@exercise
def mixed(mix: Callable[[np.ndarray], np.ndarray]) -> str:
    """A function of uint32 that shifts, multiplies, shifts, multiplies and shifts."""
    x = np.random.default_rng(0).integers(0, 2**32, 1000, dtype=np.uint32)
    answer = np.asarray(called(mix, x.copy()))
    if answer.shape != x.shape:
        raise Wrong(f"the result is shaped {answer.shape}, and what went in {x.shape}: one number for each.")
    if answer.dtype != np.uint32:
        raise Wrong(f"the result is {answer.dtype}, so nothing was cut off at 32 bits; keep it uint32.")
    mistakes = {
        "the shifted number replaces the number; it should be combined with it, by `^`.": _shifted_only(x),
        "that multiplies before it shifts; begin and end with a shift.": _multiplied_first(x),
        "the last shift is missing.": _without_the_last(x),
        "the two multipliers are exchanged.": _stirred(x, 0x735A2D97, 0x21F0AAAD),
        "every shift is by 16; the second and third are by 15.": _stirred(x, shifts=(16, 16, 16)),
    }
    if np.array_equal(answer, counter.mixed(x)):
        return "a thousand numbers are stirred as the graph stirs them, to the last bit."
    explain(answer, mistakes, np.array_equal)
    raise Wrong(f"0x12345678 should become {int(counter.mixed(np.full(1, 0x12345678, np.uint32))[0]):#x}.")


def _stirred(
    x: np.ndarray, first: int = 0x21F0AAAD, second: int = 0x735A2D97, shifts: tuple[int, ...] = (16, 15, 15)
) -> np.ndarray:
    for shift, factor in zip(shifts, (first, second, 1)):
        x = (x ^ (x >> np.uint32(shift))) * np.uint32(factor)
    return x


def _shifted_only(x: np.ndarray) -> np.ndarray:
    for shift, factor in ((16, 0x21F0AAAD), (15, 0x735A2D97), (15, 1)):
        x = (x >> np.uint32(shift)) * np.uint32(factor)
    return x


def _multiplied_first(x: np.ndarray) -> np.ndarray:
    for factor, shift in ((0x21F0AAAD, 16), (0x735A2D97, 15)):
        x = x * np.uint32(factor)
        x = x ^ (x >> np.uint32(shift))
    return x


def _without_the_last(x: np.ndarray) -> np.ndarray:
    for shift, factor in ((16, 0x21F0AAAD), (15, 0x735A2D97)):
        x = (x ^ (x >> np.uint32(shift))) * np.uint32(factor)
    return x


# --- loops ------------------------------------------------------------------------------------------------


@exercise
def loop_counts(find: Callable[[onnx.ModelProto], Sequence[str]]) -> str:
    """A function of any model that names what counts the rounds of each loop."""
    model = thermostat()
    answer = called(find, model)
    answer = answer if isinstance(answer, str) else list(answer)  # which may come one by one
    if isinstance(answer, str) or not all(isinstance(name, str) for name in answer):
        raise Wrong("the answer should be a list of names, one for each loop.")
    loops = list(_loops(model.graph))
    mistakes = {
        "only the loops on the outside are found; a branch of an `If`, or a body, is a graph too.": [
            node.input[0] for node in model.graph.node if node.op_type == "Loop"
        ],
        "those are the loops' own names; the count is the first of a loop's inputs.": [
            node.name for node in loops
        ],
        "that is the condition, a loop's second input; the count is the first.": [
            node.input[1] for node in loops
        ],
        "that is the name of every node's first input; look for those whose `op_type` is Loop.": [
            node.input[0] for node in _nodes(model.graph) if node.input
        ],
        "a loop inside a loop is missing: a body is a graph like any other.": [
            node.input[0] for node in loops if node.name != "inner"
        ],
    }
    if _same_names(answer, [node.input[0] for node in loops]):
        return f"all {len(loops)} loops of a model that you have not seen, those inside other nodes too."
    explain(answer, mistakes, _same_names)
    raise Wrong(f"a model with {len(loops)} loops, some inside other nodes, gave {list(answer)[:4]}.")


def _same_names(one: Sequence[str], other: Sequence[str]) -> bool:
    return Counter(one) == Counter(other)


def _nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _nodes(attribute.g)


def _loops(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    return (node for node in _nodes(graph) if node.op_type == "Loop")


def our_loop_counts(model: onnx.ModelProto) -> list[str]:
    """What the exercise asks for."""
    return [node.input[0] for node in _loops(model.graph)]


def thermostat() -> onnx.ModelProto:
    """A model without sound: it warms a room, hour by hour, and asks a condition first."""
    number_of = partial(helper.make_tensor_value_info, elem_type=TensorProto.FLOAT, shape=[])

    def body(name: str, nodes: list[onnx.NodeProto]) -> onnx.GraphProto:
        inputs = [
            helper.make_tensor_value_info(f"{name}_round", TensorProto.INT64, []),
            helper.make_tensor_value_info(f"{name}_going", TensorProto.BOOL, []),
            number_of(f"{name}_warm"),
        ]
        going = helper.make_node("Identity", [f"{name}_going"], [f"{name}_go_on"])
        outputs = [
            helper.make_tensor_value_info(f"{name}_go_on", TensorProto.BOOL, []),
            number_of(f"{name}_warmer"),
        ]
        return helper.make_graph([going, *nodes], name, inputs, outputs)

    minutes = body("minute", [helper.make_node("Add", ["minute_warm", "degree"], ["minute_warmer"])])
    inner = helper.make_node(
        "Loop", ["minutes", "hour_going", "hour_warm"], ["hour_warmer"], name="inner", body=minutes
    )
    hours = body("hour", [inner])
    heat = helper.make_node("Loop", ["hours", "on", "room"], ["heated"], name="heating", body=hours)
    cooling = body("cool", [helper.make_node("Sub", ["cool_warm", "degree"], ["cool_warmer"])])
    cool = helper.make_node("Loop", ["nights", "on", "room"], ["cooled"], name="cooling", body=cooling)
    choice = helper.make_node(
        "If", ["is_winter"], ["after"],
        then_branch=helper.make_graph([heat], "winter", [], [number_of("heated")]),
        else_branch=helper.make_graph([cool], "summer", [], [number_of("cooled")]),
    )  # fmt: skip
    airing = body("air", [helper.make_node("Mul", ["air_warm", "degree"], ["air_warmer"])])
    air = helper.make_node("Loop", ["windows", "on", "after"], ["aired"], name="airing", body=airing)
    counts = [
        helper.make_tensor_value_info(name, TensorProto.INT64, [])
        for name in ("hours", "minutes", "nights", "windows")
    ]
    flags = [helper.make_tensor_value_info(name, TensorProto.BOOL, []) for name in ("on", "is_winter")]
    graph = helper.make_graph(
        [choice, air], "thermostat", [number_of("room"), number_of("degree"), *counts, *flags],
        [number_of("aired")],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    onnx.checker.check_model(model)
    return model


# --- live -------------------------------------------------------------------------------------------------


@exercise
def smallest_hop(choose: Callable[[Callable[[float], float], float, Sequence[float]], float]) -> str:
    """A function of what a window costs, of the context and of some hops that picks one of them."""

    def cost(seconds: float) -> float:
        return 0.3 + 0.4 * seconds

    answer = number(called(choose, cost, CONTEXT, HOPS))

    def keeping_up(context: float) -> float:
        return min(hop for hop in HOPS if cost(hop + context) <= hop)

    right = keeping_up(2 * CONTEXT)
    if answer not in HOPS:
        explain(answer, {"that is the delay; the hop alone is asked for.": right + CONTEXT})
        raise Wrong(f"{answer:g} is none of the hops {HOPS}.")
    mistakes = {
        "the context is forgotten: a window is longer than its hop.": keeping_up(0),
        "a window has context on both sides.": keeping_up(CONTEXT),
        "that one falls behind: it takes longer than a hop to compute.": HOPS[0],
        "that keeps up, but a smaller one does too.": HOPS[-1],
    }
    if answer == right and number(called(choose, lambda s: 0.01, 0.0, (2.0, 1.0))) == 1.0:
        return (
            f"with a window of {right + 2 * CONTEXT:g} s a hop of {right:g} s keeps up, and no smaller one."
        )
    if answer == right:
        raise Wrong("the first that keeps up was taken; the hops may come in any order.")
    explain(answer, mistakes)
    raise Wrong(
        f"a window of hop and context costs 0.3 s and 0.4 s a second here, and {answer:g} s came out."
    )


# --- steps ------------------------------------------------------------------------------------------------


@exercise
def share_that_flips(rule: Callable[[float, float], float]) -> str:
    """A function of the width of a step and of a nudge that gives a share between 0 and 1."""
    answer = number(called(rule, STEP, NUDGE))
    mistakes = {
        "the other way round: the wider the steps, the fewer borders there are to cross.": STEP / NUDGE,
        "half of that: all move upwards, so only those just below a border cross it.": (2 * NUDGE / STEP),
        "twice that: whatever is less than a whole nudge below a border crosses it.": NUDGE / STEP / 2,
        "that is the share which stays.": 1 - NUDGE / STEP,
        "how many steps there are does not matter: each has one border on its way.": NUDGE / STEP / 256,
        "it is a share of a step, whatever the unit: divide.": NUDGE,
    }
    if close(answer, NUDGE / STEP) and close(number(called(rule, 10.0, 1.0)), 0.1):
        return "the share of a step that the nudge is; one in a thousand if it is a thousandth of a step."
    explain(answer, mistakes)
    raise Wrong(f"steps of {STEP}, a nudge of {NUDGE}: {answer:g} of the numbers can't cross a border.")


OURS = {
    "loop_counts": lambda: our_loop_counts,
    "share_that_flips": lambda: lambda step, nudge: nudge / step,
}  # fmt: skip
or_ours = partial(verdict.or_ours, OURS)
