// The spectrogram under the player, as helpers/lesson/plots.py draws it: decibels below the loudest point.

import { PALETTE } from "./palette.js";

const WINDOW = 4096; // samples to a spectrum
const HOP = 1024; // from one to the next
const LOWEST = 30; // hertz
const RANGE = 80; // decibels
const [LEFT, RIGHT, BOTTOM] = [46, 8, 34]; // pixels round the picture
const GREY = "#4d4d4d";

/** The discrete Fourier transform in place, for lengths that are powers of two. */
function transform(re, im) {
  const n = re.length;
  for (let i = 1, j = 0; i < n; i++) {
    let bit = n >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) [re[i], re[j], im[i], im[j]] = [re[j], re[i], im[j], im[i]];
  }
  for (let size = 2; size <= n; size *= 2) {
    const half = size / 2;
    for (let k = 0; k < half; k++) {
      const [c, s] = [Math.cos((-Math.PI * k) / half), Math.sin((-Math.PI * k) / half)];
      for (let a = k; a < n; a += size) {
        const b = a + half;
        const [x, y] = [c * re[b] - s * im[b], c * im[b] + s * re[b]];
        [re[b], im[b], re[a], im[a]] = [re[a] - x, im[a] - y, re[a] + x, im[a] + y];
      }
    }
  }
}

/** Levels in decibels below the loudest point, spectrum after spectrum. */
function levels(samples) {
  const n = Math.ceil((samples.length + 1) / HOP);
  const bins = WINDOW / 2;
  const power = new Float32Array(n * bins);
  const window = Float64Array.from(
    { length: WINDOW },
    (_, i) => 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / (WINDOW - 1)),
  );
  for (let column = 0; column < n; column++) {
    const re = window.map((weight, i) => weight * (samples[column * HOP + i - WINDOW / 2] ?? 0));
    const im = new Float64Array(WINDOW);
    transform(re, im);
    for (let bin = 0; bin < bins; bin++) power[column * bins + bin] = re[bin] ** 2 + im[bin] ** 2;
  }
  const loudest = power.reduce((most, one) => Math.max(most, one), 1e-20);
  return { n, bins, level: power.map((one) => Math.max(-RANGE, 10 * Math.log10(one / loudest + 1e-12))) };
}

function step(seconds, width) {
  return [0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30].find((one) => (width * one) / seconds > 44) ?? 60;
}

/** The picture as a PNG Blob, and where in its width time begins and ends (0 to 1). Sizes in pixels. */
export async function spectrogram(samples, sampleRate, width, height) {
  const { n, bins, level } = levels(samples);
  const [w, h] = [width - LEFT - RIGHT, height - BOTTOM];
  const seconds = samples.length / sampleRate;
  const scale = globalThis.devicePixelRatio || 1;
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width: Math.round(width * scale), height: Math.round(height * scale) });
  const ink = canvas.getContext("2d");
  ink.scale(scale, scale);
  const [least, most] = [Math.log(LOWEST), Math.log(sampleRate / 2)];

  const strip = new OffscreenCanvas(n, h);
  const pixels = new ImageData(n, h);
  for (let y = 0; y < h; y++) {
    const frequency = Math.exp(most - ((most - least) * (y + 0.5)) / h);
    const bin = Math.min(bins - 1, Math.max(1, Math.round((frequency * WINDOW) / sampleRate)));
    for (let x = 0; x < n; x++) {
      const colour = 3 * Math.round(255 * (1 + level[x * bins + bin] / RANGE));
      pixels.data.set([PALETTE[colour], PALETTE[colour + 1], PALETTE[colour + 2], 255], 4 * (y * n + x));
    }
  }
  strip.getContext("2d").putImageData(pixels, 0, 0);
  ink.fillStyle = "#fff";
  ink.fillRect(0, 0, width, height);
  const spectrum = (w * HOP) / samples.length; // each lies round its time
  ink.save();
  ink.beginPath();
  ink.rect(LEFT, 0, w, h);
  ink.clip();
  ink.drawImage(strip, LEFT - spectrum / 2, 0, spectrum * n, h);
  ink.restore();

  ink.fillStyle = GREY;
  ink.font = "11px sans-serif";
  ink.textBaseline = "middle";
  ink.textAlign = "right";
  for (const [frequency, label] of [
    [100, "100"],
    [1000, "1 k"],
    [10000, "10 k"],
  ]) {
    const y = (h * (most - Math.log(frequency))) / (most - least);
    if (y > 6) ink.fillText(label, LEFT - 8, y);
    if (y > 6) ink.fillRect(LEFT - 5, y, 5, 1);
  }
  ink.save();
  ink.translate(8, h / 2);
  ink.rotate(-Math.PI / 2);
  ink.textAlign = "center";
  ink.fillText("hertz", 0, 0);
  ink.restore();
  ink.textAlign = "center";
  const apart = step(seconds, w);
  for (let time = 0; time <= seconds + 1e-9; time += apart) {
    const x = LEFT + (w * time) / seconds;
    ink.fillRect(x, h, 1, 4);
    ink.fillText(Number(time.toFixed(2)), x, h + 12);
  }
  ink.fillText("time (s)", LEFT + w / 2, h + 26);
  const png = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  return { png, left: LEFT / width, right: (LEFT + w) / width };
}
