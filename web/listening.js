// The course's player over the sound and its takes.

import { spectrogram } from "./picture.js";
import player from "./player.js";
import { integers } from "./wav.js";
import { WidgetModel } from "./widget.js";

const HEIGHT = 176; // pixels of the picture

/** Audio with silence behind it, up to so many samples. */
function filled(audio, length) {
  if (audio.length === length) return audio;
  const result = new Float32Array(length);
  result.set(audio);
  return result;
}

export class Listening {
  constructor(root, sampleRate) {
    Object.assign(this, { root, sampleRate, versions: [], length: 0, dispose: () => {} });
    this.pictures = new WeakMap();
  }

  get player() {
    return this.root.querySelector(".course-player");
  }

  /** The place among the versions of the one that is heard. */
  get chosen() {
    return this.player.transport.current;
  }

  /** Versions { name, audio }. What plays goes on where the length stays, or with `goesOn`. */
  async show(versions, chosen, goesOn = false) {
    const length = Math.max(...versions.map(({ audio }) => audio.length));
    const isAsLong = this.length === length;
    Object.assign(this, { versions, length });
    if (isAsLong) {
      await this.player.transport.rearrange(() => this.sendAudio());
      this.model.set(
        "labels",
        versions.map(({ name }) => name),
      );
      await Promise.all(versions.map((_, index) => this.sendPicture(index)));
    } else await this.renew(goesOn);
    this.root.querySelectorAll(".course-player-version")[chosen].click();
  }

  /** A player for another length, which plays where the one before was playing. */
  async renew(goesOn) {
    const before = goesOn ? this.player?.transport : null;
    const [isPlaying, position, looping] = [before?.voices, before?.position ?? 0, before?.looping ?? false];
    this.dispose();
    this.root.replaceChildren();
    this.pictures = new WeakMap();
    this.model = new WidgetModel(
      {
        labels: this.versions.map(({ name }) => name),
        sample_rate: this.sampleRate,
        gain_db: 0,
        message: "",
        asks: false,
      },
      ({ want, index }) => (want === "audio" ? this.sendAudio() : this.sendPicture(index)),
    );
    this.dispose = player.render({ model: this.model, el: this.root });
    Object.assign(this.player.transport, { offset: position, looping });
    if (isPlaying) await this.player.transport.play();
  }

  sendAudio() {
    const buffers = this.versions.map(({ audio }) => new DataView(integers(filled(audio, this.length)).buffer));
    this.model.receive({ have: "audio" }, buffers);
  }

  async sendPicture(index) {
    if (!this.versions[index]) return; // there are fewer than there were
    const { audio, name } = this.versions[index];
    if (!this.pictures.has(audio)) {
      const whole = filled(audio, this.length);
      this.pictures.set(audio, spectrogram(whole, this.sampleRate, this.root.clientWidth, HEIGHT));
    }
    const { png, left, right } = await this.pictures.get(audio);
    if (this.versions[index]?.audio !== audio) return; // another has taken its place
    this.model.receive({ have: "picture", index, left, right, text: `spectrogram of ${name}` }, [png]);
  }
}
