// Loudness as BS.1770 measures it, for one channel, as helpers/audio/loudness.py has it.

const FLOOR = -70; // LUFS; what the meter reads for anything quieter
const SMALLEST_PEAK = 1e-30;

/** The K-weighting's two biquads (a shelf for the head, a high-pass for rumble): [b0, b1, b2, a1, a2]. */
function kWeighting(rate) {
  const biquad = (frequency, q) => {
    const angle = (2 * Math.PI * frequency) / rate;
    return [Math.cos(angle), Math.sin(angle) / (2 * q)];
  };
  const rounded = (b, [a0, a1, a2]) => [...b, a1, a2].map((x) => Math.fround(x / a0)); // as VampNet's meter
  const a = 10 ** (4 / 40);
  let [cos, alpha] = biquad(1500, 1 / Math.sqrt(2));
  const slope = 2 * Math.sqrt(a) * alpha;
  const shelf = rounded(
    [
      a * (a + 1 + (a - 1) * cos + slope),
      -2 * a * (a - 1 + (a + 1) * cos),
      a * (a + 1 + (a - 1) * cos - slope),
    ],
    [a + 1 - (a - 1) * cos + slope, 2 * (a - 1 - (a + 1) * cos), a + 1 - (a - 1) * cos - slope],
  );
  [cos, alpha] = biquad(38, 0.5);
  const highPass = rounded([(1 + cos) / 2, -(1 + cos), (1 + cos) / 2], [1 + alpha, -2 * cos, 1 - alpha]);
  return [shelf, highPass];
}

/** The first n samples (zeros after the audio's end) through the K-weighting, float32, in so many. */
function weighted(audio, n, rate, length) {
  const result = new Float32Array(length);
  const [first, second] = kWeighting(rate).map((sections) => ({ sections, z1: 0, z2: 0 }));
  const filter = (stage, x) => {
    const [b0, b1, b2, a1, a2] = stage.sections;
    const y = b0 * x + stage.z1;
    stage.z1 = b1 * x - a1 * y + stage.z2;
    stage.z2 = b2 * x - a2 * y;
    return y;
  };
  for (let i = 0; i < n; i++) result[i] = filter(second, filter(first, audio[i] ?? 0));
  return result;
}

/** Integrated loudness in LUFS, never below -70. rate: hertz, 8000 or more. */
export function loudness(audio, rate) {
  const [block, step] = [Math.floor((rate * 2) / 5), Math.floor(rate / 10)];
  const n = Math.max(audio.length, Math.floor(rate / 2));
  const steps = Math.ceil((n - block) / step);
  const samples = weighted(audio, n, rate, block + steps * step);
  const power = Array.from({ length: steps + 1 }, (_, i) => {
    let sum = 0;
    for (let at = i * step; at < i * step + block; at++) sum += samples[at] * samples[at];
    return sum / (0.4 * rate);
  });
  const level = (mean) => -0.691 + 10 * Math.log10(mean);
  const gated = (threshold) => {
    const passed = power.filter((one) => level(one) > threshold);
    return passed.reduce((sum, one) => sum + one, 0) / Math.max(1, passed.length);
  };
  const relative = level(gated(FLOOR)) - 10;
  return Math.max(level(gated(Math.max(relative, FLOOR))), FLOOR);
}

function scaled(audio, gain) {
  const factor = Math.fround(gain);
  return audio.map((sample) => sample * factor);
}

function peakOf(audio) {
  return audio.reduce((peak, sample) => Math.max(peak, Math.abs(sample)), 0);
}

function limited(audio) {
  return scaled(audio, 1 / Math.max(peakOf(audio), 1)).map((sample) => Math.min(1, Math.max(-1, sample)));
}

/** Scaled to a loudness in LUFS, and down again if the peak then exceeds 1. */
export function normalized(audio, rate, target) {
  return limited(scaled(audio, 10 ** ((target - loudness(audio, rate)) / 20)));
}

/** As loud as the reference with a peak of at most 1, and how many decibels that is too quiet. */
export function matched(audio, reference, rate) {
  const wanted = loudness(reference, rate);
  audio = scaled(audio, 1 / Math.max(peakOf(audio), SMALLEST_PEAK)); // into the meter's range
  for (let i = 0; i < 2; i++) audio = scaled(audio, 10 ** ((wanted - loudness(audio, rate)) / 20));
  audio = limited(audio);
  return [audio, Math.max(0, wanted - loudness(audio, rate))];
}
