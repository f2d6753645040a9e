// Proves that the page as it was built, its types erased without node, is what esbuild makes of the
// same sources: node compare.mjs FOLDER. Both are brought into one shape, so that only code counts.

import { readFile, readdir } from "node:fs/promises";
import { pathToFileURL } from "node:url";
import { transform } from "esbuild";

const built = pathToFileURL(`${process.argv[2]}/`);
const shape = { minifySyntax: true, minifyWhitespace: true, target: "es2022", legalComments: "none" };
// Imports of nothing but types go, all others stay.
const tsconfigRaw = { compilerOptions: { verbatimModuleSyntax: true } };
let compared = 0;
const listed = async (folder) =>
  (await readdir(new URL(`${folder}/`, import.meta.url))).map((file) => `${folder}/${file}`);
for (const name of ["narration.ts", ...(await listed("page")), ...(await listed("detector"))]) {
  if (!name.endsWith(".ts")) continue;
  const source = await readFile(new URL(name, import.meta.url), "utf8");
  const erased = await readFile(new URL(name.replace(/\.ts$/, ".js"), built), "utf8");
  const theirs = await transform(source, { ...shape, loader: "ts", tsconfigRaw });
  const ours = await transform(erased, { ...shape, loader: "js" });
  if (ours.code !== theirs.code) throw new Error(`${name}: what was built is other code`);
  compared += 1;
}
if (compared === 0) throw new Error("nothing was compared");
console.log(`${compared} modules are what esbuild makes of them`);
