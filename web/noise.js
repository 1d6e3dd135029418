// numpy's random numbers, bit for bit: SeedSequence makes the state, PCG64 (O'Neill 2014) the numbers.

const POOL = 4; // words of 32 bits
const LIMBS = 8; // of 16 bits: products of two, and sums of eight products, are exact in a double
const MODULUS = 1n << 128n;
const FACTOR = 0x2360ed051fc65da44385df649fccf645n;
const MULTIPLIER = limbsOf(FACTOR);

function limbsOf(number) {
  return Float64Array.from({ length: LIMBS }, (_, i) => Number((number >> BigInt(16 * i)) & 0xffffn));
}

function numberOf(limbs) {
  return limbs.reduceRight((number, limb) => (number << 16n) | BigInt(limb), 0n);
}

/** Whole numbers of any size as words of 32 bits, the lowest first, as numpy takes a list apart. */
function wordsOf(numbers) {
  const words = [];
  for (const number of numbers) {
    let rest = BigInt(number);
    do {
      words.push(Number(rest & 0xffffffffn));
      rest >>= 32n;
    } while (rest);
  }
  return words;
}

/** A hash whose constant moves on with every call. */
function hasher(constant, multiplier) {
  return (value) => {
    value ^= constant;
    constant = Math.imul(constant, multiplier);
    value = Math.imul(value, constant);
    return value ^ (value >>> 16);
  };
}

function mix(x, y) {
  const mixed = Math.imul(0xca01f9dd, x) - Math.imul(0x4973f715, y);
  return mixed ^ (mixed >>> 16);
}

/** numpy.random.SeedSequence(entropy).generate_state(4, uint64), each number a BigInt. */
export function seedState(entropy) {
  const words = wordsOf(entropy);
  const hash = hasher(0x43b0d7e5, 0x931e8875);
  const pool = Array.from({ length: POOL }, (_, i) => hash(words[i] ?? 0));
  for (let from = 0; from < POOL; from++) {
    for (let to = 0; to < POOL; to++) if (from !== to) pool[to] = mix(pool[to], hash(pool[from]));
  }
  for (const word of words.slice(POOL)) {
    for (let to = 0; to < POOL; to++) pool[to] = mix(pool[to], hash(word));
  }
  const last = hasher(0x8b51f9dd, 0x58f38ded);
  const halves = Array.from({ length: 8 }, (_, i) => BigInt(last(pool[i % POOL]) >>> 0));
  return [0, 2, 4, 6].map((i) => halves[i] | (halves[i + 1] << 32n));
}

/** numpy.random.Generator(PCG64(entropy)), entropy a list of whole numbers. */
export class Generator {
  constructor(entropy) {
    const [stateHigh, stateLow, streamHigh, streamLow] = seedState(entropy);
    const increment = ((((streamHigh << 64n) | streamLow) << 1n) | 1n) % MODULUS;
    this.increment = limbsOf(increment);
    this.state = limbsOf((((stateHigh << 64n) | stateLow) + increment) % MODULUS);
    this.next = new Float64Array(LIMBS);
    this.halfLeft = false;
    this.jumps = new Map();
    this.step();
  }

  /** state = state * multiplier + increment, modulo 2 ** 128. */
  step(multiplier = MULTIPLIER, increment = this.increment) {
    const { state, next } = this;
    let carry = 0;
    for (let k = 0; k < LIMBS; k++) {
      let sum = carry + increment[k];
      for (let i = 0; i <= k; i++) sum += state[i] * multiplier[k - i];
      carry = Math.floor(sum / 65536);
      next[k] = sum - 65536 * carry;
    }
    this.state = next;
    this.next = state;
  }

  /** So many steps in one: n times s -> a s + c is one such step again. */
  jump(n) {
    if (this.jumps.get(n) === undefined) {
      let [a, c] = [1n, 0n];
      for (const bit of n.toString(2)) {
        [a, c] = [a * a, a * c + c];
        if (bit === "1") [a, c] = [a * FACTOR, c * FACTOR + numberOf(this.increment)];
        [a, c] = [a % MODULUS, c % MODULUS];
      }
      this.jumps.set(n, [limbsOf(a), limbsOf(c)]);
    }
    this.step(...this.jumps.get(n));
  }

  /** The next 64 bits, left in `low` and `high` (32 bits each). */
  draw() {
    this.step();
    const s = this.state;
    const top = s[6] | (s[7] << 16);
    const low = (s[0] | (s[1] << 16)) ^ (s[4] | (s[5] << 16));
    const high = (s[2] | (s[3] << 16)) ^ top;
    const turn = top >>> 26;
    const [a, b] = turn & 32 ? [high, low] : [low, high];
    const by = turn & 31;
    this.low = (by ? (a >>> by) | (b << (32 - by)) : a) >>> 0;
    this.high = (by ? (b >>> by) | (a << (32 - by)) : b) >>> 0;
  }

  /** random(dtype=float32), n times, in [0, 1): each 64 bits make two, the lower half first. */
  floats(n) {
    const drawn = new Float32Array(n);
    for (let i = 0; i < n; i++) {
      if (!this.halfLeft) this.draw();
      drawn[i] = ((this.halfLeft ? this.high : this.low) >>> 8) / 16777216;
      this.halfLeft = !this.halfLeft;
    }
    return drawn;
  }

  /** Passes over n of these floats. */
  skip(n) {
    if (n && this.halfLeft) n -= this.floats(1).length;
    if (n > 1) this.jump(Math.floor(n / 2));
    if (n % 2) this.floats(1);
  }

  /** random(), n times: doubles in [0, 1). */
  doubles(n) {
    return Float64Array.from({ length: n }, () => {
      this.draw();
      return (this.high * 2 ** 21 + (this.low >>> 11)) / 2 ** 53;
    });
  }
}

/** Gumbel noise, float32, from a uniform number in [0, 1). */
export function gumbel(uniform) {
  return -Math.fround(Math.log(-Math.log(Math.max(uniform, 2 ** -25)))); // a float32 can be exactly 0
}
