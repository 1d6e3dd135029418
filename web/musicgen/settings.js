// A take's settings as JSON, in the form of helpers/musicgen/takes.py: Python can make the take again.

import { fingerprint, ofSound, whole } from "../fingerprint.js";

/** The text of a settings file for a take { input (or null), text (or null), codes, settings }. */
export async function written({ input, text, codes, settings }, spec) {
  const { n_codebooks: nBooks, sample_rate: rate } = spec;
  const content = {
    input: input && (await ofSound(input, rate)),
    tokens: await fingerprint(whole(codes, `(1, ${nBooks}, ${codes.length / nBooks})`)),
    text,
    settings,
  };
  return `${JSON.stringify(content, null, 2)}\n`;
}

/** { text, settings } of such a text. Throws an Error that says what is wrong. */
export function read(json) {
  let content;
  try {
    content = JSON.parse(json);
  } catch {
    content = null;
  }
  const { text, settings } = content ?? {};
  const isText = text === null || typeof text === "string";
  if (!isText || settings === null || typeof settings !== "object")
    throw new Error("this file holds no settings of a generation");
  return { text, settings };
}
