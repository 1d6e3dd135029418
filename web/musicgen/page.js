// The page: words, a sound that goes on, or both, and what came of them.

import { at, Shell } from "../shell.js";
import { read, written } from "./settings.js";

const LONGEST = 60; // seconds of a sound and of what comes of it; the codec is given all at once

const told = JSON.parse(at("bundle").textContent);
const { spec, tokenizer } = told;

const HOW = [
  {
    name: "more",
    label: "seconds to write",
    least: 0.5,
    most: 30,
    step: 0.5,
    value: Math.max(1, Math.min(10, Math.floor(spec.max_seconds))),
  },
  { name: "guidance", label: "how far to follow the words", least: 1, most: 10, step: 0.5, value: 3 },
  { name: "temperature", label: "temperature", least: 0.1, most: 3, step: 0.05, value: 1 },
  { name: "top_k", label: "top k (0: all)", least: 0, most: spec.codebook_size, step: 1, value: 250 },
  { name: "top_p", label: "top p (0: off)", least: 0, most: 1, step: 0.05, value: 0 },
  { name: "seed", label: "seed", least: 0, step: 1, value: 0 },
  { name: "greedy", label: "greedy: the most probable tokens, no noise", value: false },
];

const shell = new Shell(told, HOW, {
  longest: LONGEST,
  takeSound: () => {},
  make,
  canMake: () => true,
  settingsOf: (take) => written(take, spec),
  setSettings,
});

/** Frames that a sound has as tokens, and of a time as the models count them. */
function framesOf(audio) {
  return audio ? Math.ceil(audio.length / spec.hop) : 0;
}

function framesIn(seconds) {
  return Math.floor(seconds * spec.frame_rate);
}

/** The seconds of so many frames, such that they make no fewer. */
function secondsOf(frames) {
  const seconds = frames / spec.frame_rate;
  return framesIn(seconds) === frames ? seconds : (frames + 0.5) / spec.frame_rate;
}

async function make() {
  const { more, ...how } = shell.settings;
  const input = shell.first[0]?.audio ?? null;
  const text = (tokenizer && at("text").value.trim()) || null;
  const seconds = secondsOf(framesOf(input) + framesIn(more));
  if (seconds > LONGEST) throw new Error(`the whole would be longer than ${LONGEST} seconds`);
  const began = performance.now();
  const show = shell.progress(1);
  const settings = { seconds, ...how };
  const made = await shell.models.run("generate", { text, audio: input, settings }, ({ column, nColumns }) =>
    show(column / nColumns),
  );
  await shell.add({ input, text, settings, ...made }, began);
}

function setSettings(json) {
  const { text, settings } = read(json);
  if (text && !tokenizer) throw new Error("these settings have words, and this bundle reads none");
  const { seconds, ...how } = settings;
  at("text").value = text ?? "";
  const frames = framesIn(seconds) - framesOf(shell.first[0]?.audio);
  const more = HOW[0].step * Math.round(frames / spec.frame_rate / HOW[0].step);
  shell.turn({ ...how, more });
  if (framesIn(more) !== frames) throw new Error("this page cannot set seconds as these settings have it");
}

at("words").hidden = !tokenizer;
at("how").hidden = false;
shell.start({ spec, tokenizer }, "ready: write words, or open a sound that is to go on");
