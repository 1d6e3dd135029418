// The page: a sound, what of it to keep, how to write the rest, and what came of it.

import { Knobs } from "./knobs.js";
import { Listening } from "./listening.js";
import { maskOf } from "./masks.js";
import { Cancelled, Models } from "./models.js";
import { read, written } from "./settings.js";
import { Tokens } from "./tokens.js";
import { decoded, record, wav } from "./wav.js";

const LONGEST = 120; // seconds of a sound; the rest is cut off
const MOST_TAKES = 6;
const PIECE = 1 << 22; // characters that are unpacked at once

const at = (id) => document.getElementById(id);
const { spec, presets, about, graphs } = JSON.parse(at("bundle").textContent);
const nBooks = spec.n_codebooks;

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

const state = { versions: [], takes: 0, busy: false, recording: null };
const rules = new Knobs(at("rules"), RULES, drawMask);
const how = new Knobs(at("knobs"), HOW);
const tokens = new Tokens(at("grid"), spec, summarize);
const listening = new Listening(at("player"), spec.sample_rate);
let models = null;

// --- What is said

function say(text, isAlarm = false) {
  at("status").textContent = text;
  at("status").classList.toggle("alarm", isAlarm);
}

function summarize() {
  const { mask } = tokens;
  const share = (100 * mask.reduce((sum, one) => sum + one, 0)) / mask.length;
  at("summary").textContent = `${share.toFixed(1)} % of the tokens to be written`;
  at("scroll").hidden = !tokens.isWider;
}

function showAbout() {
  for (const [term, text] of Object.entries(about)) {
    const [dt, dd] = [document.createElement("dt"), document.createElement("dd")];
    [dt.textContent, dd.textContent] = [term, text];
    at("about").append(dt, dd);
  }
  const opened = () => (at("licence").textContent = JSON.parse(at("runtime-licence").textContent));
  at("details").addEventListener("toggle", opened, { once: true }); // it is long
}

function setBusy(busy) {
  state.busy = busy;
  for (const id of ["file", "record", "feed", "settings-file"]) at(id).disabled = busy;
  at("vamp").disabled = busy || !state.versions.length;
  at("cancel").hidden = !busy || !models;
}

/** Does something that takes a while and may fail or be cancelled; everything else waits. */
async function during(text, work) {
  if (state.busy) return;
  say(text);
  setBusy(true);
  try {
    await work();
  } catch (error) {
    const isCancelled = error instanceof Cancelled;
    say(isCancelled ? "cancelled" : error.message, !isCancelled);
  } finally {
    at("progress").hidden = true;
    setBusy(false);
  }
}

// --- A sound

async function takeSound(name, audio) {
  const codes = await models.encode(audio);
  state.versions = [{ name, audio }];
  at("sound-name").textContent = `${name}, ${(audio.length / spec.sample_rate).toFixed(1)} s`;
  for (const id of ["listen", "keep", "how"]) at(id).hidden = false;
  for (const name of ["prefix", "suffix"])
    rules.limit(name, Math.ceil((audio.length / spec.sample_rate) * 20) / 20);
  const isNew = tokens.codes?.length !== codes.length;
  tokens.show(
    codes,
    isNew ? maskOf(rules.values, spec, codes.length / nBooks, how.values.seed) : tokens.mask,
  );
  await listening.show(state.versions, 0);
}

/** A sound file's bytes, as the sound to work on. */
function open(name, bytes) {
  return during("reading the sound…", async () => {
    let audio;
    try {
      audio = await decoded(bytes, spec.sample_rate);
    } catch {
      throw new Error("this file holds no sound that the browser can read");
    }
    if (!audio.length) throw new Error("this sound is empty");
    const isCut = audio.length > LONGEST * spec.sample_rate;
    await takeSound(name, isCut ? audio.slice(0, LONGEST * spec.sample_rate) : audio);
    say(isCut ? `ready; only the first ${LONGEST} seconds are used` : "ready");
  });
}

async function toggleRecording() {
  if (!state.recording) {
    try {
      state.recording = await record();
      say("recording…");
    } catch {
      say("no microphone may be used here", true);
    }
  } else {
    const { recording } = state;
    state.recording = null;
    await open("recording", await recording.stop());
  }
  at("record").textContent = state.recording ? "stop recording" : "record";
  at("record").classList.toggle("recording", Boolean(state.recording));
}

// --- The mask

function drawMask() {
  if (tokens.codes) tokens.setMask(maskOf(rules.values, spec, tokens.codes.length / nBooks, how.values.seed));
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
  Object.assign(at("progress"), {
    max: coarse + count(spec.c2f_chunk, settings.fine_steps),
    value: 0,
    hidden: false,
  });
  return ({ stage, chunk, step, nSteps }) => {
    at("progress").value = (stage === "coarse" ? 0 : coarse) + chunk * nSteps + step;
  };
}

async function vampOnce() {
  const settings = how.values;
  if (!Number.isSafeInteger(settings.seed) || settings.seed < 0)
    throw new Error("the seed is a whole number, 0 or more");
  const input = state.versions[0].audio;
  say("the model writes…");
  const progressed = showProgress(settings);
  const began = performance.now();
  tokens.begin();
  try {
    const made = await models.vamp(
      { audio: input, codes: tokens.codes, mask: tokens.mask, settings },
      (step) => {
        tokens.step(step);
        progressed(step);
      },
    );
    const take = { name: `take ${++state.takes}`, input, settings, ...made };
    const [first, ...takes] = state.versions;
    state.versions = [first, ...takes.slice(-MOST_TAKES + 1), take];
    await listening.show(state.versions, state.versions.length - 1);
    const quieter =
      made.missingDb > 1 ? `; ${made.missingDb.toFixed(1)} dB quieter, so that its peak stays at 1` : "";
    say(`${take.name} in ${((performance.now() - began) / 1000).toFixed(1)} s${quieter}`);
  } finally {
    tokens.rest();
  }
}

/** One take, or with "again" one from the other until it is stopped. */
function vamp() {
  return during("", async () => {
    for (;;) {
      await vampOnce();
      if (!at("again").checked) return;
      await goOn();
      how.set({ seed: how.values.seed + 1 });
    }
  });
}

/** What is chosen in the player becomes the sound. */
async function goOn() {
  const { name, audio } = state.versions[listening.chosen];
  await takeSound(name, audio);
}

// --- Files out and in

function download(name, blob) {
  const link = Object.assign(document.createElement("a"), {
    href: URL.createObjectURL(blob),
    download: name,
  });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

async function saveSettings() {
  const take = state.versions[listening.chosen];
  if (!take.settings) {
    say("choose a take in the player: the sound itself has no settings", true);
    return;
  }
  download(`${take.name}.json`, new Blob([await written(take, spec)], { type: "application/json" }));
}

async function openSettings(file) {
  try {
    const { settings, mask } = read(await file.text(), spec);
    if (tokens.mask?.length !== mask.length)
      throw new Error("the mask of these settings is for a sound of another length");
    how.set(settings);
    tokens.setMask(mask);
    const other = Object.keys(settings).find((name) => how.values[name] !== settings[name]);
    if (other) throw new Error(`this page cannot set ${other} as these settings have it`);
    say("settings as saved");
  } catch (error) {
    say(error.message, true);
  }
}

// --- Begin

/** What a script element of the page holds in base64, out of the document, as a Blob. */
async function unpacked(id) {
  const text = at(id).textContent;
  at(id).remove();
  const parts = [];
  for (let begin = 0; begin < text.length; begin += PIECE) {
    const letters = atob(text.slice(begin, begin + PIECE));
    const bytes = new Uint8Array(letters.length);
    for (let i = 0; i < letters.length; i++) bytes[i] = letters.charCodeAt(i);
    parts.push(bytes);
    await new Promise((resolve) => setTimeout(resolve)); // the page stays alive
  }
  return new Blob(parts);
}

function wire() {
  const chosenFile = (input, then) => {
    input.onchange = () => {
      const [file] = input.files;
      if (file) then(file);
      input.value = ""; // the same file may be chosen again
    };
  };
  const openFile = async (file) => open(file.name.slice(0, 60), await file.arrayBuffer());
  chosenFile(at("file"), openFile);
  chosenFile(at("settings-file"), openSettings);
  at("record").onclick = toggleRecording;
  at("vamp").onclick = vamp;
  at("cancel").onclick = () => models.cancel();
  at("feed").onclick = () =>
    during("reading the sound…", async () => {
      await goOn();
      say("ready");
    });
  at("new-seed").onclick = () => how.set({ seed: crypto.getRandomValues(new Uint32Array(1))[0] });
  at("save-wav").onclick = () => {
    const { name, audio } = state.versions[listening.chosen];
    download(`${name.replace(/\.\w+$/, "")}.wav`, wav(audio, spec.sample_rate));
  };
  at("save-settings").onclick = saveSettings;
  at("earlier").onclick = () => tokens.scroll(-1);
  at("later").onclick = () => tokens.scroll(1);
  window.addEventListener("resize", () => tokens.mask && summarize());
  document.ondragover = (event) => {
    event.preventDefault();
    document.body.classList.add("dropping");
  };
  document.ondragleave = () => document.body.classList.remove("dropping");
  document.ondrop = (event) => {
    event.preventDefault();
    document.body.classList.remove("dropping");
    const [file] = event.dataTransfer.files;
    if (file) openFile(file);
  };
}

showAbout();
addPresets();
wire();
at("main").hidden = false;
setBusy(true);
try {
  const blobs = {};
  const runtime = await unpacked("runtime");
  for (const name of graphs) blobs[name] = await unpacked(`graph-${name}`);
  models = new Models(spec, runtime, blobs);
  await models.opened;
  document.body.models = models; // for tests, and for those who look at the console
  setBusy(false);
  say("open or record a sound");
} catch (error) {
  say(`this browser cannot run the models: ${error.message}`, true);
}
