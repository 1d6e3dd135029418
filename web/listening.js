// The course's player over the sound and its takes.

import { spectrogram } from "./picture.js";
import player from "./player.js";
import { integers } from "./wav.js";
import { WidgetModel } from "./widget.js";

const HEIGHT = 176; // pixels of the picture

export class Listening {
  constructor(root, sampleRate) {
    Object.assign(this, { root, sampleRate, versions: [], pictures: new WeakMap(), dispose: () => {} });
  }

  get player() {
    return this.root.querySelector(".course-player");
  }

  /** The place among the versions of the one that is heard. */
  get chosen() {
    return this.player.transport.current;
  }

  /** Versions { name, audio } of one length. Where the length stays, what plays goes on. */
  async show(versions, chosen) {
    const goesOn = this.versions[0]?.audio.length === versions[0].audio.length;
    this.versions = versions;
    if (goesOn) {
      await this.player.transport.rearrange(() => this.sendAudio());
      this.model.set(
        "labels",
        versions.map(({ name }) => name),
      );
      await Promise.all(versions.map((_, index) => this.sendPicture(index)));
    } else {
      this.dispose();
      this.root.replaceChildren();
      this.model = new WidgetModel(
        {
          labels: versions.map(({ name }) => name),
          sample_rate: this.sampleRate,
          gain_db: 0,
          message: "",
          asks: false,
        },
        ({ want, index }) => (want === "audio" ? this.sendAudio() : this.sendPicture(index)),
      );
      this.dispose = player.render({ model: this.model, el: this.root });
    }
    this.root.querySelectorAll(".course-player-version")[chosen].click();
  }

  sendAudio() {
    const buffers = this.versions.map(({ audio }) => new DataView(integers(audio).buffer));
    this.model.receive({ have: "audio" }, buffers);
  }

  async sendPicture(index) {
    const { audio, name } = this.versions[index];
    if (!this.pictures.has(audio)) {
      this.pictures.set(audio, spectrogram(audio, this.sampleRate, this.root.clientWidth, HEIGHT));
    }
    const { png, left, right } = await this.pictures.get(audio);
    if (this.versions[index]?.audio !== audio) return; // another has taken its place
    this.model.receive({ have: "picture", index, left, right, text: `spectrogram of ${name}` }, [png]);
  }
}
