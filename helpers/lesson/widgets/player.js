// The player of the course: all versions run in step, one of them is heard.
// Audio and pictures come as messages, never as saved state: a notebook stays small.

const FADE = 0.004; // seconds from one version to the next: too short to hear, long enough not to click
const SMALLEST_REGION = 0.05; // seconds; a shorter drag is a click
let context = null; // one audio context for all players of a page
let sounding = null; // the transport that plays now

/** Plays buffers of equal length in step and keeps the position. Times in seconds. */
class Transport {
  constructor(onEnd) {
    Object.assign(this, { buffers: [], current: 0, offset: 0, region: null, looping: false, onEnd });
    this.voices = null;
  }

  get duration() {
    return this.buffers.length ? this.buffers[0].duration : 0;
  }

  get loop() {
    return this.region ?? { start: 0, end: this.duration };
  }

  get position() {
    if (!this.voices) return this.offset;
    const { start, end } = this.loop;
    const at = this.offset + Math.max(0, context.currentTime - this.startedAt);
    if (this.looping && at >= end) return start + ((at - start) % (end - start));
    return Math.min(at, this.duration);
  }

  async play() {
    if (!this.buffers.length || this.voices) return;
    if (sounding && sounding !== this) sounding.pause();
    sounding = this;
    if (this.looping && (this.offset < this.loop.start || this.offset >= this.loop.end)) this.offset = this.loop.start;
    if (this.offset >= this.duration - 0.01) this.offset = this.loop.start;
    if (context.state === "suspended") await context.resume();
    this.analyser = new AnalyserNode(context, { fftSize: 2048 });
    this.analyser.connect(context.destination);
    this.startedAt = context.currentTime + 0.02; // a moment ahead, so that all start at the same sample
    this.voices = this.buffers.map((buffer, i) => {
      const gain = new GainNode(context, { gain: i === this.current ? 1 : 0 });
      const { start: loopStart, end: loopEnd } = this.loop;
      const source = new AudioBufferSourceNode(context, { buffer, loop: this.looping, loopStart, loopEnd });
      source.connect(gain).connect(this.analyser);
      source.start(this.startedAt, this.offset);
      return { source, gain };
    });
    this.voices[0].source.onended = () => {
      if (!this.voices) return;
      this.pause();
      this.offset = this.loop.start;
      this.onEnd();
    };
  }

  pause() {
    if (!this.voices) return;
    this.offset = this.position;
    const voices = this.voices;
    this.voices = null;
    for (const { source } of voices) {
      source.onended = null;
      source.stop();
      source.disconnect();
    }
    this.analyser.disconnect();
    if (sounding === this) sounding = null;
    this.onEnd();
  }

  /** Change something that running voices can't take over, and go on from where they were. */
  async rearrange(change) {
    const wasPlaying = Boolean(this.voices);
    this.pause();
    change();
    if (wasPlaying) await this.play();
  }

  switchTo(index) {
    this.current = index;
    if (!this.voices) return;
    this.voices.forEach(({ gain }, i) => {
      gain.gain.cancelScheduledValues(context.currentTime);
      gain.gain.setTargetAtTime(i === index ? 1 : 0, context.currentTime, FADE / 4);
    });
  }

  /** The loudness of what is heard now, as root mean square. */
  level() {
    if (!this.voices) return 0;
    const samples = new Float32Array(this.analyser.fftSize);
    this.analyser.getFloatTimeDomainData(samples);
    return Math.sqrt(samples.reduce((sum, x) => sum + x * x, 0) / samples.length);
  }
}

function element(tag, className, properties = {}) {
  return Object.assign(document.createElement(tag), { className, ...properties });
}

function toBuffer(view, sampleRate) {
  const integers = new Int16Array(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));
  const buffer = context.createBuffer(1, integers.length, sampleRate);
  buffer.copyToChannel(Float32Array.from(integers, (x) => x / 32768), 0);
  return buffer;
}

function render({ model, el }) {
  context ??= new AudioContext();
  const root = element("div", "course-player", { tabIndex: 0 });
  root.dataset.lmSuppressShortcuts = "true"; // else JupyterLab takes the keys
  root.setAttribute("role", "group");
  root.setAttribute("aria-label", "player");
  const bar = element("div", "course-player-bar");
  const play = element("button", "course-player-play", { disabled: true, title: "play or pause (space)" });
  const versions = element("div", "course-player-versions");
  const loop = element("button", "course-player-loop", { textContent: "loop", title: "play over and over (l)" });
  const clock = element("span", "course-player-clock");
  const level = element("span", "course-player-level");
  bar.append(play, versions, loop, clock, level);
  const stage = element("div", "course-player-stage");
  const picture = element("img", "course-player-picture", { draggable: false, alt: "" });
  const region = element("div", "course-player-region", { hidden: true });
  const cursor = element("div", "course-player-cursor");
  stage.append(picture, region, cursor);
  const status = element("div", "course-player-status", { textContent: "waiting for the sound: it comes when no cell runs…" });
  status.setAttribute("aria-live", "polite");
  root.append(bar, stage, status);
  el.append(root);

  const transport = new Transport(() => draw());
  const pictures = new Map(); // version -> { url, left, right }
  let frame = 0;

  const wantPicture = () => {
    const index = transport.current;
    if (!pictures.has(index)) model.send({ want: "picture", index });
  };

  const area = () => {
    const { left = 0, right = 1 } = pictures.get(transport.current) ?? pictures.values().next().value ?? {};
    return { left, width: right - left };
  };
  const toX = (time) => 100 * (area().left + (area().width * time) / (transport.duration || 1));
  const toTime = (event) => {
    const box = stage.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width - area().left) / area().width;
    return Math.min(1, Math.max(0, x)) * transport.duration;
  };

  function draw() {
    cancelAnimationFrame(frame);
    const playing = Boolean(transport.voices);
    play.textContent = playing ? "❚❚" : "▶";
    play.setAttribute("aria-label", playing ? "pause" : "play");
    loop.setAttribute("aria-pressed", transport.looping);
    clock.textContent = `${transport.position.toFixed(1)} / ${transport.duration.toFixed(1)} s`;
    cursor.style.left = `${toX(transport.position)}%`;
    region.hidden = !transport.region;
    if (transport.region) {
      region.style.left = `${toX(transport.region.start)}%`;
      region.style.width = `${toX(transport.region.end) - toX(transport.region.start)}%`;
    }
    const shown = pictures.get(transport.current);
    if (shown && picture.src !== shown.url) picture.src = shown.url;
    stage.hidden = pictures.size === 0;
    [...versions.children].forEach((button, i) => button.setAttribute("aria-pressed", i === transport.current));
    if (playing) frame = requestAnimationFrame(draw);
  }

  function showVersions() {
    versions.replaceChildren(
      ...model.get("labels").map((label, i) => {
        const button = element("button", "course-player-version", { textContent: label, title: `key ${i + 1}` });
        button.onclick = () => choose(i);
        return button;
      }),
    );
    const gain = model.get("gain_db");
    level.textContent = gain < 0 ? `all ${gain.toFixed(1)} dB` : "level as is";
    level.title = "one gain for all versions, so that they can be compared";
    showQuestion();
    draw();
  }

  function showQuestion() {
    if (!transport.buffers.length) return;
    status.replaceChildren(model.get("message") || "space: play · 1–9: version · ← →: one second · l: loop · drag: region");
    if (!model.get("asks")) return;
    for (const [i, label] of model.get("labels").entries()) {
      const button = element("button", "course-player-pick", { textContent: `It is ${label}` });
      button.onclick = () => model.send({ picked: i });
      status.append(button);
    }
  }

  function choose(index) {
    if (index >= model.get("labels").length) return;
    transport.switchTo(index);
    wantPicture();
    draw();
  }

  async function toggle() {
    if (transport.voices) transport.pause();
    else await transport.play();
    draw();
  }

  async function seek(time) {
    await transport.rearrange(() => {
      transport.offset = Math.min(Math.max(0, time), transport.duration);
    });
    draw();
  }

  async function toggleLoop() {
    await transport.rearrange(() => {
      transport.looping = !transport.looping;
    });
    draw();
  }

  play.onclick = toggle;
  loop.onclick = toggleLoop;
  root.onkeydown = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const actions = {
      " ": toggle,
      l: toggleLoop,
      ArrowLeft: () => seek(transport.position - 1),
      ArrowRight: () => seek(transport.position + 1),
      Home: () => seek(0),
    };
    const action = actions[event.key] ?? (/^[1-9]$/.test(event.key) ? () => choose(Number(event.key) - 1) : null);
    if (!action || (event.key === " " && event.target.tagName === "BUTTON" && event.target !== play)) return;
    event.preventDefault();
    event.stopPropagation();
    action();
  };

  stage.onpointerdown = (event) => {
    if (!transport.duration) return;
    root.focus();
    stage.setPointerCapture(event.pointerId);
    const from = toTime(event);
    stage.onpointermove = (move) => {
      const to = toTime(move);
      const [start, end] = [Math.min(from, to), Math.max(from, to)];
      transport.dragged = end - start >= SMALLEST_REGION ? { start, end } : null;
      region.hidden = !transport.dragged;
      region.style.left = `${toX(start)}%`;
      region.style.width = `${toX(end) - toX(start)}%`;
    };
    stage.onpointerup = async () => {
      stage.onpointermove = stage.onpointerup = null;
      const chosen = transport.dragged ?? null;
      transport.dragged = null;
      await transport.rearrange(() => {
        transport.region = chosen;
        transport.looping = chosen ? true : transport.looping;
        transport.offset = chosen ? chosen.start : from;
      });
      draw();
    };
  };

  function receive(message, buffers) {
    if (message.have === "audio") {
      transport.buffers = buffers.map((view) => toBuffer(view, model.get("sample_rate")));
      play.disabled = false;
      showQuestion();
      wantPicture();
    } else if (message.have === "picture") {
      const url = URL.createObjectURL(new Blob([buffers[0]], { type: "image/png" }));
      pictures.set(message.index, { url, left: message.left, right: message.right });
      picture.alt = message.text;
    } else if (message.have === "reveal") {
      wantPicture();
    }
    draw();
  }

  model.on("msg:custom", receive);
  model.on("change:labels change:message change:asks", showVersions);
  root.transport = transport; // for tests
  showVersions();
  model.send({ want: "audio" });
  return () => {
    transport.pause();
    cancelAnimationFrame(frame);
    model.off("msg:custom", receive);
    model.off("change:labels change:message change:asks", showVersions);
    for (const { url } of pictures.values()) URL.revokeObjectURL(url);
  };
}

export default { render };
