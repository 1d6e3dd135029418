// Codebooks by frames as small rectangles: tokens, what is masked, how confident the model was.
// Editable, it paints a mask: drag a rectangle, or move with the arrow keys.

const LEFT = 74; // pixels for the codebooks' numbers
const RIGHT = 10; // pixels for half of the last time
const BOTTOM = 34; // pixels for the time axis
const ROW = 18; // pixels of a codebook
const WIDTH = 860; // pixels of the whole at most, unless cells to paint on have more room
const NARROWEST = 3; // pixels of a frame that can still be painted
const HIDDEN = "#dfe3e6";
const MARK = "#d55e00";

function bytes(view) {
  return view ? new Uint8Array(view.buffer, view.byteOffset, view.byteLength) : new Uint8Array();
}

function numbers(Type, view) {
  if (!view || !view.byteLength) return null;
  return new Type(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));
}

/** A step of the time axis that leaves room for its labels, in seconds. */
function tick(seconds, width) {
  return [0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60].find((step) => (width * step) / seconds > 44) ?? 120;
}

function render({ model, el }) {
  const root = document.createElement("div");
  root.className = "course-grid";
  const canvas = document.createElement("canvas");
  const status = document.createElement("div");
  status.className = "course-grid-status";
  root.append(canvas, status);
  el.append(root);
  const ink = canvas.getContext("2d");
  let drag = null; // { from: [book, frame], to: [book, frame], value }
  let waiting = 0;
  let cell = null; // where the keyboard or the pointer is: [book, frame]

  const size = () => [model.get("n_codebooks"), model.get("n_frames")];
  const editable = () => model.get("editable");
  const room = () => Math.min(editable() ? 2 * WIDTH : WIDTH, root.clientWidth || WIDTH);
  const cellWidth = () => {
    const fitting = (room() - LEFT - RIGHT) / model.get("n_frames");
    return editable() ? Math.max(NARROWEST, fitting) : fitting;
  };
  const rectangle = ({ from, to }) => [
    Math.min(from[0], to[0]), Math.max(from[0], to[0]), Math.min(from[1], to[1]), Math.max(from[1], to[1]),
  ];

  function colourOf(index, tokens, confidence, palette) {
    const share = confidence ? confidence[index] : tokens[index] / Math.max(1, model.get("vocab_size") - 1);
    const at = 3 * Math.round(255 * Math.min(1, Math.max(0, share)));
    return `rgb(${palette[at]} ${palette[at + 1]} ${palette[at + 2]})`;
  }

  function draw() {
    const [books, frames] = size();
    const width = cellWidth();
    const [w, h] = [LEFT + width * frames + RIGHT, ROW * books + BOTTOM];
    const scale = window.devicePixelRatio || 1;
    Object.assign(canvas, { width: Math.ceil(w * scale), height: Math.ceil(h * scale) });
    Object.assign(canvas.style, { width: `${w}px`, height: `${h}px` });
    ink.setTransform(scale, 0, 0, scale, 0, 0);
    const style = getComputedStyle(root);
    ink.font = `11px ${style.fontFamily}`;
    const tokens = numbers(Int32Array, model.get("tokens"));
    const confidence = numbers(Float32Array, model.get("confidences"));
    const [mask, palette] = [bytes(model.get("hidden")), bytes(model.get("palette"))];
    const gap = width > 4 ? 1 : 0;
    for (let book = 0; book < books; book++) {
      for (let frame = 0; frame < frames; frame++) {
        const i = book * frames + frame;
        ink.fillStyle = mask[i] ? HIDDEN : colourOf(i, tokens, confidence, palette);
        ink.fillRect(LEFT + frame * width, book * ROW, Math.max(width - gap, 0.5), ROW - 1);
      }
    }
    drawAxes(books, frames, width, style.color);
    if (drag) outline(rectangle(drag), width);
    else if (cell && document.activeElement === canvas) outline(rectangle({ from: cell, to: cell }), width);
  }

  function drawAxes(books, frames, width, colour) {
    ink.fillStyle = colour;
    ink.textBaseline = "middle";
    ink.textAlign = "right";
    for (let book = 0; book < books; book++) ink.fillText(book, LEFT - 6, (book + 0.5) * ROW);
    ink.save();
    ink.translate(12, (ROW * books) / 2);
    ink.rotate(-Math.PI / 2);
    ink.textAlign = "center";
    ink.fillText("codebook", 0, 0);
    ink.restore();
    const rate = model.get("frame_rate");
    const step = tick(frames / rate, width * frames);
    ink.textAlign = "center";
    for (let time = 0; time <= frames / rate + 1e-9; time += step) {
      const x = LEFT + time * rate * width;
      ink.fillRect(x, books * ROW, 1, 4);
      ink.fillText(Number(time.toFixed(2)), x, books * ROW + 12);
    }
    ink.fillText("time (s)", LEFT + Math.min(width * frames, room() - LEFT) / 2, books * ROW + 26);
  }

  function outline([top, bottom, left, right], width) {
    ink.strokeStyle = MARK;
    ink.lineWidth = 2;
    ink.strokeRect(LEFT + left * width, top * ROW, (right - left + 1) * width, (bottom - top + 1) * ROW);
  }

  function describe() {
    const [, frames] = size();
    if (!cell) {
      status.textContent = model.get("message");
      return;
    }
    const i = cell[0] * frames + cell[1];
    const hidden = bytes(model.get("hidden"))[i];
    const token = hidden ? "to be generated" : `token ${numbers(Int32Array, model.get("tokens"))[i]}`;
    const confidence = numbers(Float32Array, model.get("confidences"));
    const sure = confidence && !hidden ? `, confidence ${confidence[i].toFixed(2)}` : "";
    const time = (cell[1] / model.get("frame_rate")).toFixed(2);
    status.textContent = `codebook ${cell[0]}, frame ${cell[1]} (${time} s): ${token}${sure}`;
  }

  function paint(chosen) {
    const [, frames] = size();
    const mask = Uint8Array.from(bytes(model.get("hidden")));
    const [top, bottom, left, right] = rectangle(chosen);
    for (let book = top; book <= bottom; book++) mask.fill(chosen.value, book * frames + left, book * frames + right + 1);
    model.set("hidden", new DataView(mask.buffer));
    model.save_changes();
  }

  const valueAt = ([book, frame]) => bytes(model.get("hidden"))[book * model.get("n_frames") + frame];

  function cellOf(event, clamp) {
    const [books, frames] = size();
    const box = canvas.getBoundingClientRect();
    let book = Math.floor((event.clientY - box.top) / ROW);
    let frame = Math.floor((event.clientX - box.left - LEFT) / cellWidth());
    if (clamp) {
      book = Math.min(books - 1, Math.max(0, book));
      frame = Math.min(frames - 1, Math.max(0, frame));
    }
    return book >= 0 && book < books && frame >= 0 && frame < frames ? [book, frame] : null;
  }

  canvas.onpointermove = (event) => {
    cell = cellOf(event, Boolean(drag));
    if (drag) {
      drag.to = cell;
      draw();
    }
    describe();
  };
  canvas.onpointerleave = () => {
    if (!drag) cell = null;
    describe();
  };
  canvas.onpointerdown = (event) => {
    const from = cellOf(event, false);
    if (!editable() || !from) return;
    event.preventDefault();
    canvas.focus();
    canvas.setPointerCapture(event.pointerId);
    drag = { from, to: from, value: 1 - valueAt(from) };
    draw();
  };
  canvas.onpointerup = () => {
    if (!drag) return;
    const chosen = drag;
    drag = null;
    paint(chosen);
  };
  canvas.onpointercancel = () => {
    drag = null;
    draw();
  };
  canvas.onkeydown = (event) => {
    const moves = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
    const move = moves[event.key];
    if ((!move && event.key !== " ") || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    const [books, frames] = size();
    const old = cell ?? [0, 0];
    if (move && cell) {
      cell = [Math.min(books - 1, Math.max(0, old[0] + move[0])), Math.min(frames - 1, Math.max(0, old[1] + move[1]))];
    } else {
      cell = old;
    }
    if (event.key === " ") paint({ from: cell, to: cell, value: 1 - valueAt(cell) });
    else if (event.shiftKey && move) paint({ from: cell, to: cell, value: valueAt(old) });
    draw();
    describe();
  };
  canvas.onblur = draw;

  function adapt() {
    canvas.tabIndex = editable() ? 0 : -1;
    canvas.dataset.lmSuppressShortcuts = "true";
    canvas.setAttribute("role", editable() ? "application" : "img"); // its keys reach it, and where it is is said
    status.setAttribute("aria-live", editable() ? "polite" : "off");
    canvas.setAttribute("aria-label", model.get("message"));
    cancelAnimationFrame(waiting);
    waiting = requestAnimationFrame(draw); // by then it is in the page and has its colours
    describe();
  }

  model.on("change", adapt);
  adapt();
  const fit = new ResizeObserver(adapt);
  fit.observe(root);
  return () => {
    fit.disconnect();
    cancelAnimationFrame(waiting);
    model.off("change", adapt);
  };
}

export default { render };
