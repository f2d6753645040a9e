// Puts other people's code that the pages need into vendor/, or into another folder: the Firebase SDK as
// one module that browsers load as it is, and c2pa's library as its package has it, the WebAssembly
// packed (by Python, as Node.js has no xz). Run `npm run vendor` after a change of the versions in
// package.json.

import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { copyFile, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { pathToFileURL } from "node:url";
import { build } from "esbuild";

const out = process.argv[2] ? pathToFileURL(`${process.argv[2]}/`) : new URL("vendor/", import.meta.url);
await rm(out, { recursive: true, force: true });
await mkdir(out, { recursive: true });
const { metafile } = await build({
  stdin: {
    contents: 'export * from "@firebase/app"; export * from "@firebase/database";',
    resolveDir: import.meta.dirname,
  },
  absWorkingDir: import.meta.dirname,
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  charset: "utf8",
  legalComments: "none",
  metafile: true,
  outfile: new URL("firebase.js", out).pathname,
});
const c2pa = new URL("node_modules/@contentauth/c2pa-wasm/", import.meta.url);
await copyFile(new URL("pkg/c2pa.js", c2pa), new URL("c2pa.js", out));
const wasm = await readFile(new URL("pkg/c2pa_bg.wasm", c2pa));
const pack =
  "import lzma, sys; sys.stdout.buffer.write(lzma.compress(sys.stdin.buffer.read(), preset=9 | lzma.PRESET_EXTREME))";
const packed = execFileSync("python3", ["-c", pack], { input: wasm, maxBuffer: wasm.length });
await writeFile(new URL("c2pa_bg.wasm.xz", out), packed);
await writeFile(
  new URL("c2pa_bg.wasm.sha256", out),
  `${createHash("sha256").update(wasm).digest("hex")}  c2pa_bg.wasm\n`,
);
await writeFile(new URL("LICENSES.txt", out), await licences(Object.keys(metafile.inputs)));

/** What the bundle holds, and on which terms; the Apache licence is the repository's own. */
async function licences(files) {
  const packages = files.map((file) => /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(file)?.[1]);
  const parts = ["firebase.js holds, in minified form:\n"];
  for (const name of [...new Set(packages)].filter(Boolean).sort()) {
    const folder = new URL(`node_modules/${name}/`, import.meta.url);
    const { version, license } = JSON.parse(await readFile(new URL("package.json", folder), "utf8"));
    parts.push(`\n${name} ${version}, ${license}\n`);
    if (license !== "Apache-2.0") parts.push(await readFile(new URL("LICENSE", folder), "utf8"));
  }
  const { version } = JSON.parse(await readFile(new URL("package.json", c2pa), "utf8"));
  parts.push(
    `\n\nc2pa.js and c2pa_bg.wasm are those of @contentauth/c2pa-wasm ${version}, MIT. Compiled into the ` +
      "latter\nare crates of Rust on terms of their own (MIT, Apache-2.0, BSD and like ones), which the " +
      "package does not list.\n\n",
    await readFile(new URL("LICENSE", c2pa), "utf8"),
  );
  return parts.join("").replace(/\r/g, "");
}
