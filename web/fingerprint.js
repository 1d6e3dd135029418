// The fingerprints of sounds and tokens, as helpers/support/arrays.py makes them.

/** Hexadecimal SHA-256 of arrays { type, shape, data }. */
export async function fingerprint(...arrays) {
  const parts = arrays.flatMap(({ type, shape, data }) => [
    new TextEncoder().encode(`${type} ${shape} `),
    data,
  ]);
  const digest = await crypto.subtle.digest("SHA-256", await new Blob(parts).arrayBuffer());
  return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Whole numbers as numpy holds them. */
export function whole(values, shape) {
  return { type: "<i8", shape, data: BigInt64Array.from(values, BigInt) };
}

/** Of a mono sound at so many hertz. */
export function ofSound(audio, rate) {
  return fingerprint({ type: "<f4", shape: `(1, ${audio.length})`, data: audio }, whole([rate], "()"));
}
