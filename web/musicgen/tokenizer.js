// Text into ids of word pieces, as SentencePiece does it for T5 (Kudo 2018): characters are made alike, then of all
// ways to cut the text the most probable one is taken. helpers/runtime/pieces.py says what is in the tables.

const SPACE = "▁"; // what stands for one
const PENALTY = 10; // of an unknown character, below the least score
const { fround } = Math;

function bytesOf(base64) {
  return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
}

/** The rules that make characters alike: a trie in a double array (Aoe 1989), and what it leads to. */
class Charsmap {
  constructor(bytes) {
    const view = new DataView(bytes.buffer);
    const size = bytes.length ? view.getUint32(0, true) : 0;
    this.units = Uint32Array.from({ length: size / 4 }, (_, i) => view.getUint32(4 + 4 * i, true));
    this.texts = bytes.subarray(4 + size);
  }

  /** Of the bytes from `at` on, how many belong together, and the bytes that stand for them. */
  longest(bytes, at) {
    const { units, texts } = this;
    const offset = (unit) => (unit >>> 10) << ((unit & (1 << 9)) >>> 6);
    let [node, found] = [units.length ? offset(units[0]) : 0, null];
    for (let end = at; end < bytes.length; end++) {
      node ^= bytes[end];
      const unit = units[node];
      if (unit === undefined || (unit & 0x800000ff) !== bytes[end]) break;
      node ^= offset(unit);
      if ((unit >>> 8) & 1) found = { length: end + 1 - at, value: units[node] & 0x7fffffff };
    }
    if (!found) return null;
    return [found.length, texts.subarray(found.value, texts.indexOf(0, found.value))];
  }
}

/** How many bytes a character of UTF-8 has that begins with this one. */
function widthOf(byte) {
  return byte < 0xc0 ? 1 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
}

export class Tokenizer {
  constructor(tables) {
    Object.assign(this, tables, { charsmap: new Charsmap(bytesOf(tables.charsmap)) });
    this.known = new Map(tables.pieces.map(([text, id, score]) => [text, { id, score }]));
    this.longest = Math.max(0, ...tables.pieces.map(([text]) => [...text].length));
    this.unknownScore = fround(Math.min(...tables.pieces.map(([, , score]) => score)) - PENALTY);
  }

  /** The text with characters made alike, as an array of them. */
  normalized(text) {
    const bytes = new TextEncoder().encode(text);
    const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
    let [result, isBehindSpace] = [this.dummy_prefix ? SPACE : "", this.remove_extra];
    for (let at = 0; at < bytes.length; ) {
      const width = widthOf(bytes[at]);
      const [length, part] = this.charsmap.longest(bytes, at) ?? [width, bytes.subarray(at, at + width)];
      at += length;
      let letters = decoder.decode(part);
      if (isBehindSpace) letters = letters.replace(/^ +/, "");
      result += letters.replaceAll(" ", SPACE);
      if (letters && this.remove_extra) isBehindSpace = letters.endsWith(" ");
    }
    return [...(this.remove_extra ? result.replace(/▁+$/, "") : result)];
  }

  /** Ids (Int32Array) of a text, the end's included. */
  ids(text) {
    const letters = this.normalized(text);
    const n = letters.length;
    const best = Array.from({ length: n + 1 }, () => ({ score: 0, start: -1, id: this.unknown }));
    const offer = (end, score, start, id) => {
      // Scores are kept as float32, and compared before they are.
      if (best[end].start < 0 || score > best[end].score) best[end] = { score: fround(score), start, id };
    };
    for (let start = 0; start < n; start++) {
      const here = best[start].score;
      let piece = "";
      let isKnown = false;
      for (let end = start + 1; end <= Math.min(n, start + this.longest); end++) {
        piece += letters[end - 1];
        const found = this.known.get(piece);
        if (!found) continue;
        offer(end, here + found.score, start, found.id);
        isKnown ||= end === start + 1;
      }
      if (!isKnown) offer(start + 1, fround(here + this.unknownScore), start, this.unknown);
    }
    const ids = [];
    for (let end = n; end > 0; end = best[end].start) {
      const { id } = best[end];
      if (id !== this.unknown || ids.at(-1) !== id) ids.push(id); // unknown characters in a row are one
    }
    return Int32Array.from([...ids.reverse(), this.end]);
  }
}
