// Makes runtime/ anew from the npm package: `npm ci --ignore-scripts && npm run build`.

import { readFileSync, writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const built = new URL("node_modules/onnxruntime-web/dist/", import.meta.url);
const ours = new URL("runtime/", import.meta.url);
const loader = readFileSync(new URL("ort.wasm.bundle.min.mjs", built), "utf8");
writeFileSync(new URL("ort.js", ours), loader.replace(/\n?\/\/# sourceMappingURL=.*\n?$/, "\n"));
const wasm = readFileSync(new URL("ort-wasm-simd-threaded.wasm", built));
writeFileSync(new URL("ort.wasm.gz", ours), gzipSync(wasm, { level: 9 }));
