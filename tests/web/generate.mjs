// Runs generations in the page's modules and its runtime, without a browser: JSON in on stdin, JSON out on stdout.

import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { gunzipSync } from "node:zlib";
import { graphOf, setUp } from "../../web/graphs.js";
import { Pipeline } from "../../web/musicgen/pipeline.js";
import { Tokenizer } from "../../web/musicgen/tokenizer.js";

const { bundle, content, texts, cases } = JSON.parse(readFileSync(0, "utf8"));
if (texts) {
  const tokenizer = new Tokenizer(content.tokenizer);
  console.log(JSON.stringify(texts.map((text) => [...tokenizer.ids(text)])));
} else {
  setUp(gunzipSync(readFileSync(new URL("../../web/runtime/ort.wasm.gz", import.meta.url))), 1);
  const graphs = content.graphs.map((name) => [name, graphOf(() => readFile(`${bundle}/${name}.onnx`))]);
  const pipeline = new Pipeline(content.spec, Object.fromEntries(graphs), content.tokenizer);
  const made = [];
  for (const { audio, ...asked } of cases) {
    const columns = [];
    const given = { ...asked, audio: audio && Float32Array.from(audio) };
    const { codes, audio: heard } = await pipeline.generate(given, ({ column }) => columns.push(column));
    made.push({ codes: [...codes], audio: [...heard], columns });
  }
  console.log(JSON.stringify(made));
}
