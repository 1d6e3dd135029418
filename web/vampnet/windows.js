// A convolutional graph in windows, exactly, as helpers/runtime/windows.py has it: each window runs with the
// context that its output depends on, and the context's own output is dropped.

const SHORTEST = 65; // frames; shorter windows round differently in ONNX Runtime

/** How many frames each window keeps: as even a share as there can be, up to `longest`. */
export function evenSize(nFrames, longest) {
  return Math.ceil(nFrames / Math.ceil(nFrames / longest));
}

/** Windows of n frames: { begin, end } of the input, { from, to } to keep of its output, all in frames. */
export function windows(nFrames, size, context) {
  const cut = (start, end, stop) => {
    const begin = Math.max(0, Math.min(start - context, end - SHORTEST));
    return { begin, end, from: start - begin, to: stop - begin };
  };
  const found = [];
  let start = 0;
  for (let end; (end = Math.max(start + size + context, SHORTEST)) <= nFrames; start += size) {
    found.push(cut(start, end, start + size));
  }
  if (start < nFrames) found.push(cut(start, nFrames, Infinity));
  return found;
}
