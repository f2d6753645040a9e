/**
 * Verifies content credentials beside the page, by c2pa's own library. It is loaded first, with the
 * certificates that are trusted; then this worker gives up all ways to the network, and only then gets a
 * file.
 */

import { type Credentials, credentialsIn, damaged } from "./verdict.js";

/** Of c2pa's library, what is used here. */
interface Library {
  default(options: { module_or_path: URL }): Promise<unknown>;
  readonly WasmReader: {
    fromBlob(type: string, file: Blob, settings: string): Promise<{ json(): string; free(): void }>;
  };
}

/** Null credentials: the file has none. */
export type Read = { credentials: Credentials | null } | { missing: string };

const MANIFEST = Uint8Array.of(0x63, 0x32, 0x70, 0x61, 0, 0x11, 0, 0x10, 0x80, 0, 0, 0xaa, 0, 0x38, 0x9b, 0x71);
const WAYS_OUT = ["fetch", "XMLHttpRequest", "WebSocket", "WebSocketStream", "WebTransport", "EventSource"];

let anchors = "";
const ready = load();

addEventListener("message", async ({ data }: MessageEvent<Blob>) => {
  let answer: Read;
  try {
    answer = { credentials: await read(await ready, data) };
  } catch (error) {
    answer = { missing: String(error) };
  }
  postMessage(answer);
});

async function load(): Promise<Library> {
  const beside = (name: string) => new URL(name, import.meta.url);
  const library = (await import(beside("../vendor/c2pa.js").href)) as Library;
  const wasm = library.default({ module_or_path: beside("../vendor/c2pa_bg.wasm") });
  const pem = await fetch(beside("anchors.txt"));
  const text = pem.ok ? await pem.text() : "";
  await wasm;
  anchors = (text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? []).join("\n");
  for (const name of WAYS_OUT) {
    Object.defineProperty(globalThis, name, { value: undefined, configurable: false, writable: false });
  }
  return library;
}

async function read({ WasmReader }: Library, file: Blob): Promise<Credentials | null> {
  const settings = {
    trust: anchors ? { user_anchors: anchors } : {},
    verify: { verify_trust: true, remote_manifest_fetch: false, ocsp_fetch: false },
  };
  try {
    const reader = await WasmReader.fromBlob(await typeOf(file), file, JSON.stringify(settings));
    try {
      return credentialsIn(JSON.parse(reader.json()));
    } finally {
      reader.free();
    }
  } catch (error) {
    return (await holdsManifest(file)) ? damaged(String(error).slice(0, 300)) : null;
  }
}

/** By what the file is, not by what it is called. */
async function typeOf(file: Blob): Promise<string> {
  const head = String.fromCharCode(...new Uint8Array(await file.slice(0, 12).arrayBuffer()));
  if (head.startsWith("RIFF")) return "audio/wav";
  if (head.slice(4, 8) === "ftyp") return "audio/mp4";
  return head.startsWith("fLaC") ? "audio/flac" : "audio/mpeg";
}

/** Whether anything in a file that cannot be read calls itself a C2PA manifest. */
async function holdsManifest(file: Blob): Promise<boolean> {
  const block = 1 << 20;
  for (let first = 0; first < file.size; first += block) {
    const some = new Uint8Array(await file.slice(first, first + block + MANIFEST.length - 1).arrayBuffer());
    for (let at = some.indexOf(MANIFEST[0]!); at >= 0; at = some.indexOf(MANIFEST[0]!, at + 1)) {
      if (MANIFEST.every((value, n) => some[at + n] === value)) return true;
    }
  }
  return false;
}
