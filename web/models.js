// The page's hold on the worker that has the models.

export class Cancelled extends Error {}

export class Models {
  /** given: what the worker opens with: Blobs `runtime` and `graphs` (by name), gzip, and what its pipeline takes. */
  constructor(given) {
    Object.assign(this, { given, waiting: new Map(), count: 0 });
    this.start();
  }

  start() {
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
      return this.ask("open", this.given);
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

  /** What the worker answers; onStep is told of each step on the way. */
  async run(what, given, onStep) {
    await this.opened;
    return this.ask(what, given, onStep);
  }

  /** Ends what is under way at once; the worker starts again. */
  cancel() {
    this.worker.terminate();
    this.drop(new Cancelled());
    this.start();
  }
}
