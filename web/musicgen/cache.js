// What a causal transformer remembers between two calls, as helpers/runtime/cache.py has it.

const BLOCK = 128; // places; a full cache grows by so many at once

/** Keys and values of `n` columns, of each layer (batch, heads, room, size), room for more than n. */
export class Cache {
  constructor(batch, nLayers, nHeads, size) {
    Object.assign(this, { batch, nHeads, size, n: 0, room: 1 });
    this.held = Array.from({ length: 2 * nLayers }, () => new Float32Array(batch * nHeads * size));
  }

  get tensors() {
    const shape = [this.batch, this.nHeads, this.room, this.size];
    return this.held.map((data) => ({ data, shape }));
  }

  /** Writes the keys and values of more columns behind what is there. */
  add(made) {
    const nNew = made[0].shape[2];
    const room = Math.ceil((this.n + nNew) / BLOCK) * BLOCK;
    if (this.n + nNew > this.room || this.n === 0) {
      this.held = this.held.map((data) => {
        const grown = new Float32Array(this.batch * this.nHeads * room * this.size);
        this.copy(data, this.room, this.n, grown, room, 0);
        return grown;
      });
      this.room = room;
    }
    made.forEach(({ data }, i) => this.copy(data, nNew, nNew, this.held[i], this.room, this.n));
    this.n += nNew;
  }

  /** The first n places of each head into another array, from its place `at` on. */
  copy(from, roomFrom, n, to, roomTo, at) {
    const { batch, nHeads, size } = this;
    for (let head = 0; head < batch * nHeads; head++) {
      const begin = head * roomFrom * size;
      to.set(from.subarray(begin, begin + n * size), (head * roomTo + at) * size);
    }
  }
}
