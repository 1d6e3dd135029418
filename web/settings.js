// A take's settings as JSON, in the form of helpers/vampnet/takes.py: Python can make the take again.

async function fingerprint(...arrays) {
  const parts = arrays.flatMap(({ type, shape, data }) => [
    new TextEncoder().encode(`${type} ${shape} `),
    data,
  ]);
  const digest = await crypto.subtle.digest("SHA-256", await new Blob(parts).arrayBuffer());
  return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

function whole(values, shape) {
  return { type: "<i8", shape, data: BigInt64Array.from(values, BigInt) };
}

/** The text of a settings file for a take { input, mask, codes, settings }. */
export async function written({ input, mask, codes, settings }, spec) {
  const { n_codebooks: nBooks, sample_rate: rate } = spec;
  const nFrames = mask.length / nBooks;
  const sound = { type: "<f4", shape: `(1, ${input.length})`, data: input };
  const content = {
    input: await fingerprint(sound, whole([rate], "()")),
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
