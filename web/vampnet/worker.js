// VampNet, in a thread of its own.

import { serve } from "../serving.js";
import { Pipeline } from "./pipeline.js";

serve(({ spec }, graphs) => new Pipeline(spec, graphs), {
  encode: (pipeline, { audio }) => pipeline.encode(audio),
  vamp: (pipeline, { audio, codes, mask, settings }, onStep) =>
    pipeline.vampAudio(audio, codes, mask, settings, onStep),
});
