// The page: a sound, what of it to keep, how to write the rest, and what came of it.

import { Knobs } from "../knobs.js";
import { at, Shell } from "../shell.js";
import { maskOf } from "./masks.js";
import { read, written } from "./settings.js";
import { Tokens } from "./tokens.js";

const told = JSON.parse(at("bundle").textContent);
const { spec, presets } = told;
const nBooks = spec.n_codebooks;
const LONGEST = 120; // seconds of a sound

const RULES = [
  { name: "periodic", label: "keep one frame in", least: 0, most: 32, step: 1, value: 7 },
  { name: "width", label: "so many frames wide", least: 1, most: 9, step: 1, value: 1 },
  { name: "roll", label: "moved right (frames)", least: 0, most: 32, step: 1, value: 0 },
  {
    name: "codebooks",
    label: "codebooks kept",
    least: 0,
    most: nBooks,
    step: 1,
    value: Math.min(3, nBooks),
    all: true,
  },
  { name: "prefix", label: "keep the first (s)", least: 0, most: 10, step: 0.05, value: 0 },
  { name: "suffix", label: "keep the last (s)", least: 0, most: 10, step: 0.05, value: 0 },
  { name: "random", label: "share to write", least: 0, most: 1, step: 0.05, value: 1 },
  { name: "dropout", label: "share of the kept to give up", least: 0, most: 1, step: 0.05, value: 0 },
];
const HOW = [
  { name: "steps", label: "coarse steps", least: 1, most: 48, step: 1, value: 12 },
  { name: "fine_steps", label: "fine steps", least: 1, most: 12, step: 1, value: 2 },
  { name: "temperature", label: "temperature", least: 0.1, most: 3, step: 0.05, value: 1 },
  { name: "mask_temperature", label: "temperature of the mask", least: 0, most: 30, step: 0.5, value: 10.5 },
  { name: "typical_mass", label: "typical mass", least: 0, most: 1, step: 0.05, value: null, off: true },
  { name: "top_p", label: "top p", least: 0, most: 1, step: 0.05, value: null, off: true },
  { name: "seed", label: "seed", least: 0, step: 1, value: 0 },
  { name: "greedy", label: "greedy: the most probable tokens, no noise", value: false },
];

const rules = new Knobs(at("rules"), RULES, drawMask);
const tokens = new Tokens(at("grid"), spec, summarize);
const shell = new Shell(told, HOW, {
  longest: LONGEST,
  takeSound,
  make,
  canMake: () => Boolean(tokens.codes),
  settingsOf: (take) => written(take, spec),
  setSettings,
});

function summarize() {
  const { mask } = tokens;
  const share = (100 * mask.reduce((sum, one) => sum + one, 0)) / mask.length;
  at("summary").textContent = `${share.toFixed(1)} % of the tokens to be written`;
  at("scroll").hidden = !tokens.isWider;
}

async function takeSound(audio) {
  const codes = await shell.models.run("encode", { audio });
  for (const id of ["keep", "how"]) at(id).hidden = false;
  for (const name of ["prefix", "suffix"])
    rules.limit(name, Math.ceil((audio.length / spec.sample_rate) * 20) / 20);
  const isNew = tokens.codes?.length !== codes.length;
  tokens.show(codes, isNew ? drawnMask(codes) : tokens.mask);
}

// --- The mask

function drawnMask(codes) {
  return maskOf(rules.values, spec, codes.length / nBooks, shell.how.values.seed);
}

function drawMask() {
  if (tokens.codes) tokens.setMask(drawnMask(tokens.codes));
}

function addPresets() {
  for (const [name, prompt] of Object.entries(presets)) {
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: name });
    button.onclick = () => {
      rules.set(prompt);
      drawMask();
    };
    at("presets").append(button);
  }
}

// --- The vamp

function showProgress(settings) {
  const nFrames = tokens.codes.length / nBooks;
  const count = (length, steps) => Math.ceil(nFrames / length) * steps;
  const coarse = count(spec.coarse_chunk, settings.steps);
  const show = shell.progress(coarse + count(spec.c2f_chunk, settings.fine_steps));
  return ({ stage, chunk, step, nSteps }) => show((stage === "coarse" ? 0 : coarse) + chunk * nSteps + step);
}

async function make() {
  const { settings } = shell;
  const [{ audio: input }] = shell.first;
  const progressed = showProgress(settings);
  const began = performance.now();
  tokens.begin();
  try {
    const asked = { audio: input, codes: tokens.codes, mask: tokens.mask, settings };
    const made = await shell.models.run("vamp", asked, (step) => {
      tokens.step(step);
      progressed(step);
    });
    const quieter = `; ${made.missingDb.toFixed(1)} dB quieter, so that its peak stays at 1`;
    await shell.add({ input, settings, ...made }, began, made.missingDb > 1 ? quieter : "");
  } finally {
    tokens.rest();
  }
}

function setSettings(text) {
  const { settings, mask } = read(text, spec);
  if (tokens.mask?.length !== mask.length)
    throw new Error("the mask of these settings is for a sound of another length");
  tokens.setMask(mask);
  shell.turn(settings);
}

addPresets();
at("earlier").onclick = () => tokens.scroll(-1);
at("later").onclick = () => tokens.scroll(1);
window.addEventListener("resize", () => tokens.mask && summarize());
shell.start({ spec }, "open or record a sound");
