// The page's hold on the worker that has the models.

export class Cancelled extends Error {}

export class Models {
  /** spec: the numbers of bundle.json. runtime, graphs (by name): Blobs, gzip. */
  constructor(spec, runtime, graphs) {
    Object.assign(this, { spec, runtime, graphs, waiting: new Map(), count: 0 });
    this.start();
  }

  start() {
    const { spec, runtime, graphs } = this;
    const worker = (this.worker = new Worker("./worker.js"));
    const here = new Promise((resolve, reject) => {
      worker.onmessage = resolve; // it says so when it can hear
      worker.onerror = ({ message }) => {
        const error = new Error(message || "its thread could not start");
        reject(error);
        this.drop(error);
      };
    });
    this.opened = here.then(() => {
      worker.onmessage = ({ data }) => this.receive(data);
      return this.ask("open", { spec, runtime, graphs });
    });
    this.opened.catch(() => {}); // whoever waits for it is told
  }

  receive({ id, step, done, failed }) {
    const asked = this.waiting.get(id);
    if (!asked) return;
    if (step) {
      asked.onStep(step);
      return;
    }
    this.waiting.delete(id);
    if (failed === undefined) asked.resolve(done);
    else asked.reject(new Error(failed));
  }

  drop(error) {
    for (const { reject } of this.waiting.values()) reject(error);
    this.waiting.clear();
  }

  ask(what, given, onStep = () => {}) {
    return new Promise((resolve, reject) => {
      const id = ++this.count;
      this.waiting.set(id, { resolve, reject, onStep });
      this.worker.postMessage({ id, ask: what, ...given });
    });
  }

  /** Codes (Int32Array) of mono audio at the bundle's rate. */
  async encode(audio) {
    await this.opened;
    return this.ask("encode", { audio });
  }

  /** { audio, codes, mask, missingDb }; onStep is told of each step. */
  async vamp(given, onStep) {
    await this.opened;
    return this.ask("vamp", given, onStep);
  }

  /** Ends what is under way at once; the worker starts again. */
  cancel() {
    this.worker.terminate();
    this.drop(new Cancelled());
    this.start();
  }
}
