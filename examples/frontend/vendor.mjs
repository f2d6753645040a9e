// Bundles what the page needs of the Firebase SDK into vendor/, or into another folder: one module
// that browsers load as it is. Run `npm run vendor` after a change of the versions in package.json.

import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
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
  return parts.join("").replace(/\r/g, "");
}
