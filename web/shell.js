// What every page has: a sound that is opened, recorded or dropped, takes to compare, files out, and a bar that
// says how things stand. A room's page.js gives it what is the room's own.

import { Knobs } from "./knobs.js";
import { Listening } from "./listening.js";
import { Cancelled, Models } from "./models.js";
import { decoded, record, wav } from "./wav.js";

const MOST_TAKES = 6;
const PIECE = 1 << 22; // characters that are unpacked at once

export const at = (id) => document.getElementById(id);

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

function download(name, blob) {
  const link = Object.assign(document.createElement("a"), {
    href: URL.createObjectURL(blob),
    download: name,
  });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

export class Shell {
  /**
   * told: what the page says of its bundle. knobs: the table of how to make a take. own, all of it the room's:
   * longest, in seconds, of a sound, of which the rest is cut off; takeSound(audio), before a sound becomes the one to work on; canMake() and make(), which adds a take;
   * settingsOf(take), a promise of text; setSettings(text), which throws an Error for what is none.
   */
  constructor(told, knobs, own) {
    Object.assign(this, told, own, { first: [], takes: [], count: 0, busy: false, recording: null });
    this.how = new Knobs(at("knobs"), knobs);
    this.listening = new Listening(at("player"), this.spec.sample_rate);
    this.models = null;
    this.showAbout();
    this.wire();
  }

  // --- What is said

  say(text, isAlarm = false) {
    at("status").textContent = text;
    at("status").classList.toggle("alarm", isAlarm);
  }

  showAbout() {
    for (const [term, text] of Object.entries(this.about)) {
      const [dt, dd] = [document.createElement("dt"), document.createElement("dd")];
      [dt.textContent, dd.textContent] = [term, text];
      at("about").append(dt, dd);
    }
    const opened = () => (at("licence").textContent = JSON.parse(at("runtime-licence").textContent));
    at("details").addEventListener("toggle", opened, { once: true }); // it is long
  }

  setBusy(busy) {
    this.busy = busy;
    for (const id of ["file", "record", "feed", "settings-file"]) at(id).disabled = busy;
    at("make").disabled = busy || !this.models || !this.canMake();
    at("cancel").hidden = !busy || !this.models;
  }

  /** Does something that takes a while and may fail or be cancelled; everything else waits. */
  async during(text, work) {
    if (this.busy) return;
    this.say(text);
    this.setBusy(true);
    try {
      await work();
    } catch (error) {
      const isCancelled = error instanceof Cancelled;
      this.say(isCancelled ? "cancelled" : error.message, !isCancelled);
    } finally {
      at("progress").hidden = true;
      this.setBusy(false);
    }
  }

  /** A function of how much of `max` is done. */
  progress(max) {
    Object.assign(at("progress"), { max, value: 0, hidden: false });
    return (value) => (at("progress").value = value);
  }

  // --- A sound

  /** A sound file's bytes, as the sound to work on. */
  open(name, bytes) {
    return this.during("reading the sound…", async () => {
      const { sample_rate: rate } = this.spec;
      let audio;
      try {
        audio = await decoded(bytes, rate);
      } catch {
        throw new Error("this file holds no sound that the browser can read");
      }
      if (!audio.length) throw new Error("this sound is empty");
      const isCut = audio.length > this.longest * rate;
      await this.begin(name, isCut ? audio.slice(0, this.longest * rate) : audio);
      this.say(isCut ? `ready; only the first ${this.longest} seconds are used` : "ready");
    });
  }

  /** A sound, or what became of one, as the sound to work on. */
  async begin(name, audio, goesOn = false) {
    await this.takeSound(audio);
    [this.first, this.takes] = [[{ name, audio }], []];
    at("sound-name").textContent = `${name}, ${(audio.length / this.spec.sample_rate).toFixed(1)} s`;
    at("listen").hidden = false;
    await this.listening.show(this.versions, 0, goesOn);
  }

  async toggleRecording() {
    if (!this.recording) {
      try {
        this.recording = await record();
        this.say("recording…");
      } catch {
        this.say("no microphone may be used here", true);
      }
    } else {
      const { recording } = this;
      this.recording = null;
      await this.open("recording", await recording.stop());
    }
    at("record").textContent = this.recording ? "stop recording" : "record";
    at("record").classList.toggle("recording", Boolean(this.recording));
  }

  // --- Takes

  /** The sound, if there is one, and what was made: { name, audio }. */
  get versions() {
    return [...this.first, ...this.takes];
  }

  get chosen() {
    return this.versions[this.listening.chosen];
  }

  /** Adds a take { audio, ... }, chooses it, and says so, with the seconds since `began`. */
  async add(take, began, remark = "") {
    const named = { name: `take ${++this.count}`, ...take };
    this.takes = [...this.takes.slice(-MOST_TAKES + 1), named];
    at("listen").hidden = false;
    await this.listening.show(this.versions, this.versions.length - 1, true);
    this.say(`${named.name} in ${((performance.now() - began) / 1000).toFixed(1)} s${remark}`);
  }

  /** How to make a take, as the knobs say. Throws an Error for no seed. */
  get settings() {
    const settings = this.how.values;
    if (!Number.isSafeInteger(settings.seed) || settings.seed < 0)
      throw new Error("the seed is a whole number, 0 or more");
    return settings;
  }

  /** Moves the knobs. Throws an Error for a value that a knob does not reach. */
  turn(settings) {
    this.how.set(settings);
    const other = Object.keys(settings).find((name) => this.how.values[name] !== settings[name]);
    if (other) throw new Error(`this page cannot set ${other} as these settings have it`);
  }

  /** One take, or with "again" one from the other until it is stopped. */
  makeThem() {
    return this.during("the model writes…", async () => {
      for (;;) {
        await this.make();
        if (!at("again").checked) return;
        await this.goOn(true);
        this.how.set({ seed: this.how.values.seed + 1 });
        this.say("the model writes…");
      }
    });
  }

  /** What is chosen in the player becomes the sound. */
  async goOn(goesOn) {
    const { name, audio } = this.chosen;
    await this.begin(name, audio, goesOn);
  }

  // --- Files out and in

  async saveSettings() {
    if (!this.chosen.settings) {
      this.say("choose a take in the player: the sound itself has no settings", true);
      return;
    }
    const text = await this.settingsOf(this.chosen);
    download(`${this.chosen.name}.json`, new Blob([text], { type: "application/json" }));
  }

  async openSettings(file) {
    try {
      this.setSettings(await file.text());
      this.say("settings as saved");
    } catch (error) {
      this.say(error.message, true);
    }
  }

  // --- Begin

  wire() {
    const chosenFile = (input, then) => {
      input.onchange = () => {
        const [file] = input.files;
        if (file) then(file);
        input.value = ""; // the same file may be chosen again
      };
    };
    const openFile = async (file) => this.open(file.name.slice(0, 60), await file.arrayBuffer());
    chosenFile(at("file"), openFile);
    chosenFile(at("settings-file"), (file) => this.openSettings(file));
    at("record").onclick = () => this.toggleRecording();
    at("make").onclick = () => this.makeThem();
    at("cancel").onclick = () => this.models.cancel();
    at("feed").onclick = () =>
      this.during("reading the sound…", async () => {
        await this.goOn(false);
        this.say("ready");
      });
    at("new-seed").onclick = () => this.how.set({ seed: crypto.getRandomValues(new Uint32Array(1))[0] });
    at("save-wav").onclick = () => {
      const { name, audio } = this.chosen;
      download(`${name.replace(/\.\w+$/, "")}.wav`, wav(audio, this.spec.sample_rate));
    };
    at("save-settings").onclick = () => this.saveSettings();
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

  /** Gets the models ready; `given` goes to their pipeline, `ready` is said then. */
  async start(given, ready) {
    at("main").hidden = false;
    this.setBusy(true);
    try {
      const [runtime, graphs] = [await unpacked("runtime"), {}];
      for (const name of this.graphs) graphs[name] = await unpacked(`graph-${name}`);
      const models = new Models({ ...given, runtime, graphs });
      await models.opened;
      this.models = document.body.models = models; // for tests, and for those who look at the console
      this.setBusy(false);
      this.say(ready);
    } catch (error) {
      this.say(`this browser cannot run the models: ${error.message}`, true);
    }
  }
}
