// Builds the demo page into the Python package, which serves it as it is, or into another folder.

import { cp, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { pathToFileURL } from "node:url";
import { build } from "esbuild";

const packaged = new URL("../../narrator_daemon/emulator/page/", import.meta.url);
const out = process.argv[2] ? pathToFileURL(`${process.argv[2]}/`) : packaged;
await rm(out, { recursive: true, force: true });
await mkdir(out, { recursive: true });
const { metafile } = await build({
  entryPoints: ["page/page.ts"],
  absWorkingDir: import.meta.dirname,
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  charset: "utf8",
  legalComments: "none",
  metafile: true,
  outfile: new URL("page.js", out).pathname,
});
for (const name of ["index.html", "page.css", "icon.svg"]) {
  await cp(new URL(`page/${name}`, import.meta.url), new URL(name, out));
}
await writeFile(new URL("LICENSES.txt", out), await licences(Object.keys(metafile.inputs)));

/** What the bundle holds of others, and on which terms; the Apache licence is the package's own. */
async function licences(files) {
  const packages = files.map((file) => /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(file)?.[1]);
  const parts = ["page.js holds, in minified form:\n"];
  for (const name of [...new Set(packages)].filter(Boolean).sort()) {
    const folder = new URL(`node_modules/${name}/`, import.meta.url);
    const { version, license } = JSON.parse(await readFile(new URL("package.json", folder), "utf8"));
    parts.push(`\n${name} ${version}, ${license}\n`);
    if (license !== "Apache-2.0") parts.push(await readFile(new URL("LICENSE", folder), "utf8"));
  }
  return parts.join("").replace(/\r/g, "");
}
