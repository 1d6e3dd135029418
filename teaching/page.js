// Runs the course's player in a page: data from the page stands in for the kernel.

function bytesOf(base64) {
  return Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
}

/** The samples of a FLAC file as the kernel would send them: 16 bits each, at their own rate. */
async function samplesOf(base64, sampleRate) {
  const offline = new OfflineAudioContext(1, 1, sampleRate); // decodes without resampling
  const decoded = await offline.decodeAudioData(bytesOf(base64).buffer);
  return new DataView(Int16Array.from(decoded.getChannelData(0), (x) => Math.round(x * 32768)).buffer);
}

/** What a front end sees of a kernel: values, changes of them, and messages. */
class PageModel {
  constructor({ state, names, sounds, pictures }) {
    Object.assign(this, { state, names, sounds, pictures, listeners: [] });
  }

  get(name) {
    return this.state[name];
  }

  on(events, listener) {
    for (const event of events.split(" ")) this.listeners.push([event, listener]);
  }

  off() {}

  tell(event, ...content) {
    for (const [wanted, listener] of this.listeners) if (wanted === event) listener(...content);
  }

  async send(request) {
    if (request.want === "audio") {
      const sounds = await Promise.all(this.sounds.map((sound) => samplesOf(sound, this.state.sample_rate)));
      this.tell("msg:custom", { have: "audio" }, sounds);
    } else if (request.want === "picture" && !this.state.asks) {
      const { png, left, right } = this.pictures[request.index];
      this.tell("msg:custom", { have: "picture", index: request.index, left, right, text: "" }, [bytesOf(png)]);
    } else if ("picked" in request && this.state.asks) {
      this.reveal(request.picked);
    }
  }

  reveal(picked) {
    const letters = this.state.labels;
    const message = `${this.state.message} You picked ${letters[picked]}: ${this.names[picked]}.`;
    const labels = letters.map((letter, i) => `${letter}: ${this.names[i]}`);
    Object.assign(this.state, { asks: false, labels, message });
    this.tell("change:labels");
    this.tell("msg:custom", { have: "reveal" }, []);
  }
}

for (const el of document.querySelectorAll(".page-player")) {
  render({ model: new PageModel(JSON.parse(el.firstElementChild.textContent)), el });
}
