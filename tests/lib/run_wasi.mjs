/* run_wasi.mjs PROGRAM [ARGUMENT...]: runs a WebAssembly program that takes the system's calls from
 * WASI, by Node.js; its exit code is this one's. */
import { readFileSync } from "node:fs";
import { WASI } from "node:wasi";

const args = process.argv.slice(2);
const wasi = new WASI({ version: "preview1", args });
const imports = { wasi_snapshot_preview1: wasi.wasiImport };
const { instance } = await WebAssembly.instantiate(readFileSync(args[0]), imports);
process.exitCode = wasi.start(instance);
