"""What the public implementations themselves answered, in both runtimes: tokens are equal, numbers close."""

import json

import numpy as np
import pytest

from helpers.musicgen.decoding import delayed, probabilities, undelayed
from helpers.musicgen.past import Condition

CASES = ["uncond", "text", "text_cfg1", "text_batch", "text_none_batch", "cont_short", "cont_odd",
         "cont_notext", "cont_batch", "long", "cont_long"]  # fmt: skip


def test_every_tensor_is_accounted_for(musicgen):
    for report in musicgen.reports.values():
        assert {row.status for row in report.rows} <= {"exact", "close", "unused"}
        assert all("training" in row.how for row in report.unused)
        assert len(set(report.sources)) == len(report.sources)


def test_sound_becomes_the_same_codes_at_every_length(pipeline, golden, meta):
    rate = meta["sample_rate"]
    for n in golden["encode_lengths"]:
        codes = pipeline.encode(golden["audio"][:1, :, :n], rate)
        np.testing.assert_array_equal(codes, golden[f"encode_n{n}"])


def test_codes_become_the_same_sound(pipeline, golden):
    for n in golden["decode_lengths"]:
        audio = pipeline.decode(golden[f"decode_t{n}_codes"])
        np.testing.assert_allclose(audio, golden[f"decode_t{n}_audio"], atol=1e-5)


def test_texts_become_the_same_ids_and_vectors(pipeline, golden):
    ids, mask = pipeline.tokenizer(list(golden["texts"]))
    np.testing.assert_array_equal(ids * golden["text_mask"], golden["text_ids"] * golden["text_mask"])
    condition = pipeline.text(ids=golden["text_ids"], mask=golden["text_mask"])
    np.testing.assert_allclose(condition.states, golden["condition"], atol=1e-5)
    condition = pipeline.text(list(golden["texts"]))
    np.testing.assert_array_equal(condition.mask, golden["text_mask"])
    np.testing.assert_allclose(condition.states, golden["condition"], atol=1e-5)


@pytest.mark.parametrize("case", ["b1_s1", "b1_s7", "b2_s33", "b1_s60"])
def test_columns_give_the_same_logits(pipeline, golden, case):
    given = (golden[f"lm_{case}_{name}"] for name in ("codes", "condition", "mask"))
    codes, states, mask = given
    logits, _ = pipeline.logits(codes, Condition(states, mask))
    np.testing.assert_allclose(logits, golden[f"lm_{case}_logits"], atol=1e-4)


def test_the_delay_pattern(golden, meta):
    for n in (3, 9):
        codes = golden[f"pattern_t{n}_codes"]
        columns = delayed(codes, meta["delays"], meta["card"])
        np.testing.assert_array_equal(undelayed(columns, meta["delays"]), codes)
        if meta["family"] == "audiocraft":
            np.testing.assert_array_equal(columns, golden[f"pattern_t{n}_sequence"])


def test_the_probabilities_that_are_sampled_from(golden):
    for name in (name for name in golden if name.startswith("sample_probs")):
        temperature, top_k, top_p = (float(part[1:]) for part in name.split("_")[2:])
        found = probabilities(golden["sample_logits"], temperature, int(top_k), top_p)
        np.testing.assert_allclose(found, golden[name], atol=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_generation(pipeline, golden, meta, name):
    case = next((case for case in json.loads(str(golden["cases"])) if case["name"] == name), None)
    if case is None:
        pytest.skip("this family has no such case")
    prompt, logits = golden.get(f"gen_{name}_prompt_audio"), []
    made = pipeline.generate(
        case["text"], prompt, meta["sample_rate"], case["duration"], case["guidance"], greedy=True,
        batch=case.get("batch", 1), window_seconds=meta["max_duration"], stride_seconds=meta["extend_stride"],
        on_step=lambda step: logits.append(step.logits),
    )  # fmt: skip
    np.testing.assert_array_equal(made.codes, golden[f"gen_{name}_codes"])
    np.testing.assert_allclose(made.audio, golden[f"gen_{name}_audio"], atol=1e-3)
    assert made.prompt_frames == (golden[f"gen_{name}_prompt_codes"].shape[2] if prompt is not None else 0)
    assert len(logits) == case.get("calls", len(logits))
    if f"gen_{name}_logits" in golden:
        np.testing.assert_allclose(logits, golden[f"gen_{name}_logits"], atol=1e-4)
