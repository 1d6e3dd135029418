// A take's settings as JSON, in the form of helpers/vampnet/takes.py: Python can make the take again.

import { fingerprint, ofSound, whole } from "../fingerprint.js";

/** The text of a settings file for a take { input, mask, codes, settings }. */
export async function written({ input, mask, codes, settings }, spec) {
  const { n_codebooks: nBooks } = spec;
  const nFrames = mask.length / nBooks;
  const content = {
    input: await ofSound(input, spec.sample_rate),
    tokens: await fingerprint(whole(codes, `(1, ${nBooks}, ${nFrames})`)),
    settings,
    mask: Array.from({ length: nBooks }, (_, book) =>
      mask.subarray(book * nFrames, (book + 1) * nFrames).join(""),
    ),
  };
  return `${JSON.stringify(content, null, 2)}\n`;
}

/** The settings and the mask (Uint8Array) of such a text. Throws an Error that says what is wrong. */
export function read(text, spec) {
  let content;
  try {
    content = JSON.parse(text);
  } catch {
    throw new Error("this file holds no settings of a vamp");
  }
  const { settings, mask: rows } = content ?? {};
  const isMask = Array.isArray(rows) && rows.every((row) => typeof row === "string" && /^[01]+$/.test(row));
  if (!isMask || settings === null || typeof settings !== "object") {
    throw new Error("this file holds no settings of a vamp");
  }
  if (rows.length !== spec.n_codebooks || rows.some((row) => row.length !== rows[0].length)) {
    throw new Error("these settings are another model's");
  }
  return { settings, mask: Uint8Array.from(rows.join(""), Number) };
}
