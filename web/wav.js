// Sound in from files and microphone, and out as WAV. Samples are mono float32.

const LOUDEST = 32767; // of 16 bits

/** The samples of a sound file at so many hertz; channels are averaged. Rejects for what is no sound. */
export async function decoded(bytes, sampleRate) {
  const context = new OfflineAudioContext(1, 1, sampleRate);
  const buffer = await context.decodeAudioData(bytes);
  const channels = Array.from({ length: buffer.numberOfChannels }, (_, i) => buffer.getChannelData(i));
  return Float32Array.from(
    channels[0],
    (_, i) => channels.reduce((sum, channel) => sum + channel[i], 0) / channels.length,
  );
}

/** Samples between -1 and 1 as whole numbers of 16 bits, which the player takes. */
export function integers(samples) {
  return Int16Array.from(samples, (x) => Math.round(LOUDEST * Math.min(1, Math.max(-1, x))));
}

/** A WAV file, 24 bits a sample, as helpers/audio/files.py writes it. */
export function wav(samples, sampleRate) {
  const bytes = 3; // a sample
  const size = bytes * samples.length;
  const file = new DataView(new ArrayBuffer(44 + size));
  const text = (at, letters) =>
    [...letters].forEach((letter, i) => file.setUint8(at + i, letter.charCodeAt(0)));
  text(0, "RIFF");
  file.setUint32(4, 36 + size, true);
  text(8, "WAVEfmt ");
  file.setUint32(16, 16, true);
  file.setUint16(20, 1, true); // whole numbers
  file.setUint16(22, 1, true); // one channel
  file.setUint32(24, sampleRate, true);
  file.setUint32(28, bytes * sampleRate, true);
  file.setUint16(32, bytes, true);
  file.setUint16(34, 8 * bytes, true);
  text(36, "data");
  file.setUint32(40, size, true);
  samples.forEach((sample, i) => {
    const whole = Math.max(-(2 ** 23), Math.min(2 ** 23 - 1, Math.round(sample * 2 ** 23)));
    file.setUint16(44 + bytes * i, whole & 0xffff, true);
    file.setInt8(46 + bytes * i, whole >> 16);
  });
  return new Blob([file], { type: "audio/wav" });
}

/** A recording under way; `stop` gives the bytes of a sound file. Nothing is done to the voice. */
export async function record() {
  const plain = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
  const stream = await navigator.mediaDevices.getUserMedia({ audio: plain });
  const lossless = "audio/webm;codecs=pcm";
  const recorder = new MediaRecorder(
    stream,
    MediaRecorder.isTypeSupported(lossless) ? { mimeType: lossless } : {},
  );
  const parts = [];
  recorder.ondataavailable = ({ data }) => parts.push(data);
  const ended = new Promise((resolve) => (recorder.onstop = resolve));
  recorder.start();
  return {
    async stop() {
      recorder.stop();
      await ended;
      for (const track of stream.getTracks()) track.stop();
      return new Blob(parts).arrayBuffer();
    },
  };
}
