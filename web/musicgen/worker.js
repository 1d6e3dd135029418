// MusicGen, in a thread of its own.

import { serve } from "../serving.js";
import { Pipeline } from "./pipeline.js";

serve(({ spec, tokenizer }, graphs) => new Pipeline(spec, graphs, tokenizer), {
  generate: (pipeline, given, onStep) => pipeline.generate(given, onStep),
});
