// The course's mask editor: the sound's tokens, what of them is kept, and the model at work.

import grid from "../grid.js";
import { PALETTE } from "../palette.js";
import { WidgetModel } from "../widget.js";

const HINT = "drag over the grid to hide or to keep; or click on it, then arrow keys and space";

export class Tokens {
  /** onChange: told when the mask has changed. */
  constructor(root, spec, onChange) {
    Object.assign(this, { root, spec, onChange, codes: null, mask: null, busy: false, dispose: () => {} });
  }

  /** Codes (Int32Array) and a mask (Uint8Array), codebook after codebook. */
  show(codes, mask) {
    const { spec } = this;
    Object.assign(this, { codes, mask });
    this.dispose();
    this.root.replaceChildren();
    this.model = new WidgetModel({
      n_codebooks: spec.n_codebooks,
      n_frames: codes.length / spec.n_codebooks,
      frame_rate: spec.sample_rate / spec.hop,
      vocab_size: spec.codebook_size,
      tokens: codes,
      hidden: mask,
      confidences: null,
      palette: PALETTE,
      editable: true,
      message: HINT,
    });
    this.model.on("change:hidden", () => this.painted());
    const leave = grid.render({ model: this.model, el: this.root });
    const fit = new ResizeObserver(() => this.onChange()); // the grid is drawn a moment later
    fit.observe(this.root.querySelector("canvas"));
    this.dispose = () => {
      fit.disconnect();
      leave();
    };
    this.onChange();
  }

  painted() {
    if (this.busy) return;
    const { buffer, byteOffset, byteLength } = this.model.get("hidden");
    this.mask = new Uint8Array(buffer, byteOffset, byteLength);
    this.onChange();
  }

  setMask(mask) {
    if (this.busy) return;
    this.model.set("hidden", mask);
  }

  /** From here to `rest` the grid shows the model at work. */
  begin() {
    this.busy = true;
    this.root.inert = true;
    this.model.update({
      message: "the model writes",
      tokens: Int32Array.from(this.codes),
      hidden: this.mask,
    });
  }

  /** What the pipeline tells of a step. */
  step({ start, codes, masked, stage }) {
    const nFrames = this.model.get("n_frames");
    const nBooks = stage === "coarse" ? this.spec.n_coarse_codebooks : this.spec.n_codebooks;
    const length = codes.length / nBooks;
    const [tokens, hidden] = [this.model.get("tokens"), Uint8Array.from(this.model.get("hidden"))];
    for (let book = 0; book < nBooks; book++) {
      tokens.set(codes.subarray(book * length, (book + 1) * length), book * nFrames + start);
      hidden.set(masked.subarray(book * length, (book + 1) * length), book * nFrames + start);
    }
    this.model.update({ tokens, hidden });
  }

  rest() {
    this.model.update({ message: HINT, tokens: this.codes, hidden: this.mask });
    this.root.inert = false;
    this.busy = false;
  }

  /** Moves a grid that is wider than the screen by most of what is seen. */
  scroll(direction) {
    const moved = this.root.querySelector(".course-grid");
    moved.scrollBy({ left: 0.8 * direction * moved.clientWidth });
  }

  get isWider() {
    const moved = this.root.querySelector(".course-grid");
    return Boolean(moved) && moved.scrollWidth > moved.clientWidth + 1;
  }
}
